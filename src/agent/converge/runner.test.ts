import { describe, expect, test } from "vitest";
import { Fault } from "#base/fault.ts";
import type { Resource } from "./resource.ts";
import { convergeGroups } from "./runner.ts";

const signal = new AbortController().signal;

/** A resource that is not as wanted until `apply` was called `needed` times. */
function resource(id: string, { needed = 1, fault }: { needed?: number; fault?: Fault } = {}): Resource & { applied: number } {
  const one = {
    id,
    applied: 0,
    mismatch: async () => (one.applied < needed ? "is missing" : null),
    apply: async () => {
      if (fault !== undefined) throw fault;
      one.applied++;
    },
  };
  return one;
}

describe("a turn", () => {
  test("changes what differs, in order, and touches nothing else", async () => {
    const [a, b, c] = [resource("a"), resource("b", { needed: 0 }), resource("c")];
    expect(await convergeGroups([{ name: "g", resources: [a, b, c] }], signal)).toEqual({
      changed: ["a", "c"],
      faults: [],
      websiteFaults: [],
    });
    expect(b.applied).toBe(0);
  });

  test("ends for the group whose resource fails, and goes on for the others", async () => {
    const broken = resource("b", { fault: new Fault("trial.broken", "it broke") });
    const [after, other] = [resource("c"), resource("d")];
    const { changed, faults } = await convergeGroups(
      [
        { name: "first", resources: [resource("a"), broken, after] },
        { name: "second", resources: [other] },
      ],
      signal,
    );
    expect(changed).toEqual(["a", "d"]);
    expect(faults).toEqual([{ resource: "first: b", code: "trial.broken", message: "it broke" }]);
    expect(after.applied).toBe(0);
  });

  test("goes on where a website has done something in its own area, and names the website", async () => {
    const itsOwn: Resource = {
      ...resource("~/current", { fault: new Fault("trial.blocked", "it is blocked", { next: "move it away" }) }),
      website: "s2",
    };
    const after = resource("c");
    const outcome = await convergeGroups([{ name: "first", resources: [itsOwn, after] }], signal);
    expect(outcome).toEqual({
      changed: ["c"],
      faults: [],
      websiteFaults: [{ website: "s2", resource: "~/current", code: "trial.blocked", message: "it is blocked", next: "move it away" }],
    });
  });

  test("does not believe that a resource is right because it was applied", async () => {
    const { faults } = await convergeGroups([{ name: "g", resources: [resource("a", { needed: 2 })] }], signal);
    expect(faults).toEqual([{ resource: "g: a", code: "converge.not-converged", message: "a did not converge: is missing" }]);
  });

  test("that is cancelled stops before the next resource", async () => {
    const calledOff = new AbortController();
    const last = resource("b");
    const mismatch = async (): Promise<null> => {
      calledOff.abort();
      return null;
    };
    const first: Resource = { ...resource("a"), mismatch };
    await expect(convergeGroups([{ name: "g", resources: [first, last] }], calledOff.signal)).rejects.toThrow();
    expect(last.applied).toBe(0);
  });
});
