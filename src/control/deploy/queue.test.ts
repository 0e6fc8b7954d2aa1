import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { DeploymentState } from "#contract/deployment.ts";
import type { DeploymentRecord } from "../store/deployments.ts";
import { planQueue } from "./queue.ts";

function record(nth: number, state: DeploymentState): DeploymentRecord {
  const commit = String(nth).padStart(40, "0");
  const acceptedAt = `2026-11-23T08:00:00.${String(nth).padStart(6, "0")}Z`;
  const rest = {
    kind: "push" as const,
    caller: null,
    reason: null,
    finishedAt: null,
    previous: null,
    branch: "main",
    gitServer: "git1",
    switchAtMicros: null,
    isTurningBack: false,
    needsBuild: false,
    hooks: [],
    holdSeconds: null,
    snapshotsDatabases: false,
    hasSnapshot: false,
  };
  return { id: nth, website: "s1", cluster: "c1", commit, state, acceptedAt, push: `p${nth}`, ...rest };
}

describe("of a website's deployments", () => {
  test("the newest push wins over those that wait", () => {
    const open = [record(1, "received"), record(2, "received"), record(3, "received")];
    expect(planQueue(open, null)).toEqual({ next: open[2], overtaken: [open[0], open[1]] });
  });

  test("one that is under way comes first, and only the newest goes on waiting", () => {
    const open = [record(1, "switching"), record(2, "received"), record(3, "received")];
    expect(planQueue(open, null)).toEqual({ next: open[0], overtaken: [open[1]] });
  });

  test("one that is older than what is live or under way is overtaken", () => {
    const late = record(1, "received");
    expect(planQueue([late], record(2, "live").acceptedAt)).toEqual({ next: null, overtaken: [late] });
    const underWay = record(2, "staging");
    expect(planQueue([late, underWay], null)).toEqual({ next: underWay, overtaken: [late] });
  });

  test("none is both next and overtaken, and none waits for ever", () => {
    const state = fc.constantFrom<DeploymentState>("received", "received", "staging", "switching");
    fc.assert(
      fc.property(fc.array(state, { maxLength: 6 }), fc.option(fc.nat(6)), (states, liveNth) => {
        const open = states.map((one, index) => record(index + 1, one));
        const { next, overtaken } = planQueue(open, liveNth === null ? null : record(liveNth, "live").acceptedAt);
        expect(overtaken).not.toContain(next);
        expect(overtaken.every((one) => one.state === "received")).toBe(true);
        if (next === null) expect(overtaken).toEqual(open);
      }),
    );
  });
});
