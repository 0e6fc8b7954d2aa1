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
      restarts: [],
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
      restarts: [],
      websiteFaults: [{ website: "s2", resource: "~/current", code: "trial.blocked", message: "it is blocked", next: "move it away" }],
    });
  });

  test("checks a group's resources all at once, and those after a changed one again", async () => {
    const order: string[] = [];
    const recorded = (one: Resource): Resource => ({
      ...one,
      mismatch: (given) => {
        order.push(`check ${one.id}`);
        return one.mismatch(given);
      },
      apply: (given) => {
        order.push(`change ${one.id}`);
        return one.apply(given);
      },
    });
    const right = { needed: 0 };
    await convergeGroups(
      [
        { name: "first", resources: [resource("a", right), resource("b"), resource("c", right)].map(recorded) },
        { name: "second", resources: [resource("d", right)].map(recorded) },
      ],
      signal,
    );
    const atOnce = ["check a", "check b", "check c"];
    expect(order).toEqual([...atOnce, "change b", "check b", "check c", "check d"]);
  });

  test("may fail to check what only an earlier resource makes possible", async () => {
    const account = resource("account");
    const file: Resource & { isThere: boolean } = {
      id: "file",
      isThere: false,
      mismatch: async () => {
        if (account.applied === 0) throw new Fault("trial.no-account", "there is no such account");
        return file.isThere ? null : "is missing";
      },
      apply: async () => {
        file.isThere = true;
      },
    };
    const { changed, faults } = await convergeGroups([{ name: "g", resources: [account, file] }], signal);
    expect({ changed, faults }).toEqual({ changed: ["account", "file"], faults: [] });
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

describe("what restarts a unit that runs", () => {
  const restarting = (): Resource & { applied: number } => Object.assign(resource("service"), { restarts: "a.service" });
  const held = { mayRestart: false, isRunning: async () => true };
  const run = (resources: readonly Resource[], options = {}) => convergeGroups([{ name: "g", resources }], signal, options);

  test("waits until it may, and the rest of its group goes on", async () => {
    const [service, after] = [restarting(), resource("after")];
    expect(await run([service, after], held)).toMatchObject({ changed: ["after"], faults: [], restarts: ["a.service"] });
    expect(service.applied).toBe(0);
    expect(await run([service, after])).toMatchObject({ changed: ["service"], faults: [], restarts: [] });
  });

  test("does not wait while the unit does not run, or when nothing is to be changed", async () => {
    const service = restarting();
    expect(await run([service], { ...held, isRunning: async () => false })).toMatchObject({ changed: ["service"], restarts: [] });
    expect(await run([service], held)).toMatchObject({ changed: [], restarts: [] });
  });

  test("marks the fault of what comes after it, which may lack the restart; other groups' faults are as ever", async () => {
    const fault = new Fault("trial.broken", "it broke");
    const outcome = await convergeGroups(
      [
        { name: "g", resources: [restarting(), resource("needs it", { fault })] },
        { name: "other", resources: [resource("broken", { fault })] },
      ],
      signal,
      held,
    );
    expect(outcome).toMatchObject({
      restarts: ["a.service"],
      faults: [
        { resource: "g: needs it", code: "converge.needs-restart", message: "it broke" },
        { resource: "other: broken", code: "trial.broken" },
      ],
    });
    const service = restarting();
    expect((await run([service, resource("needs it", { fault })])).faults).toHaveLength(1);
  });
});
