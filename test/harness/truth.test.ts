import { describe, expect, test } from "vitest";
import { timestampOf } from "#base/clock.ts";
import type { Deployment, DeploymentState } from "#contract/deployment.ts";
import { findLies, type Reading } from "./truth.ts";

const [A, B] = ["a".repeat(40), "b".repeat(40)];
const START = 1_790_000_000_000_000;
const at = (ms: number): number => START + ms * 1_000;
const versions = new Map([
  ["one", A],
  ["two", B],
]);

function deployment(id: number, state: DeploymentState, commit: string, switched: readonly number[]): Deployment {
  const servers = switched.map((ms, nth) => ({
    name: `c1b${nth + 1}`,
    role: "box" as const,
    stagedAt: null,
    switchedAt: timestampOf(at(ms)),
    clockOffsetMs: 0,
    error: null,
    isLeftOut: false,
  }));
  const [accepted, finished] = [timestampOf(at(id * 100)), timestampOf(at(id * 100 + 90))];
  const common = { website: "s1", cluster: "c1", kind: "deploy" as const, previous: null, reason: null, push: null, caller: "anna" };
  return { ...common, id, state, commit, acceptedAt: accepted, finishedAt: finished, servers };
}

function reading(startMs: number, endMs: number, version: "one" | "two", changes: Partial<Reading> = {}): Reading {
  const release = versions.get(version) ?? null;
  return { startedAt: at(startMs), endedAt: at(endMs), fault: null, release, parts: [version, version], box: "c1b1", ...changes };
}

const deployments = [deployment(1, "live", A, [150, 152]), deployment(2, "live", B, [250, 254])];

describe("the checker of truth", () => {
  test.each([
    ["the present release", reading(160, 180, "one")],
    ["the old one by a request that began before the switch", reading(240, 270, "one")],
    ["the old one while not all have switched", reading(251, 270, "one")],
    ["the new one by a request that began before the switch and ended after it", reading(245, 260, "two")],
    ["anything before the first deployment that is known", reading(10, 20, "two")],
  ])("lets pass: %s", (_, one) => {
    expect(findLies([one], { deployments, versions })).toEqual([]);
  });

  test.each([
    ["the old one by a request that began after the last switch", reading(260, 280, "one"), /served aaaaaaa .* true was bbbbbbb/],
    ["the new one before anybody switched", reading(200, 220, "two"), /served bbbbbbb .* true was aaaaaaa/],
    ["a page of two releases", reading(251, 270, "one", { parts: ["one", "two"] }), /mixed page/],
    ["a page that belies its web server", reading(160, 180, "one", { release: B }), /mixed page/],
    ["no page", reading(160, 180, "one", { fault: "status 503" }), /no page after 20 ms: status 503/],
  ])("sees: %s", (_, one, lie) => {
    expect(findLies([one], { deployments, versions })).toEqual([expect.stringMatching(lie)]);
  });

  test("allows the release of a deployment that was undone until its end, and not later", () => {
    const undone = [deployments[0] as Deployment, deployment(2, "rolled-back", B, [])];
    expect(findLies([reading(230, 240, "two")], { deployments: undone, versions })).toEqual([]);
    expect(findLies([reading(295, 299, "two")], { deployments: undone, versions })).toHaveLength(1);
  });
});
