import { describe, expect, test } from "vitest";
import { banPages, letGo } from "#contract/actions/cache.ts";
import { probe } from "#contract/actions/release.ts";
import { status } from "#contract/actions/server.ts";
import type { CommitId, WebsiteId } from "#contract/names.ts";
import type { ControlFabric } from "#fabric/fabric.ts";
import { answersFor, hasLetGo, serves } from "./probe.ts";

const [first, second] = ["1".repeat(40), "2".repeat(40)];
const releases = new Map<WebsiteId, CommitId | null>([
  ["s1", first],
  ["s2", null],
]);

/** A fabric of which each server gives the answer that is named by `action website`, or by the action alone; else a fault. */
function answering(outputs: Record<string, unknown>): ControlFabric {
  const askAll = async (action: { name: string }, servers: readonly string[], { website }: { website?: string }) =>
    servers.map((server) => {
      const output = outputs[website === undefined ? action.name : `${action.name} ${website}`];
      return output === undefined ? { server, durationMs: 1, fault: { code: "trial.failed" } } : { server, durationMs: 1, output };
    });
  return { askAll } as unknown as ControlFabric;
}

test("a box answers for its websites when its web server does for each of them, whatever it says", async () => {
  const answer = { release: null, status: 500, durationMs: 1 };
  const both = answering({ [`${probe.name} s1`]: answer, [`${probe.name} s2`]: answer });
  expect(await answersFor(both, "c1b1", ["s1", "s2"])).toBe(true);
  for (const website of ["s1", "s2"])
    expect(await answersFor(answering({ [`${probe.name} ${website}`]: answer }), "c1b1", ["s1", "s2"]), website).toBe(false);
});

test("a box serves its cluster's releases when it has each of them live, and none where there is none", async () => {
  const live = (own: Record<string, string | null>) => serves(answering({ [status.name]: { releases: own } }), "c1b1", releases);
  expect(await live({ s1: first, s2: null })).toBe(true);
  expect(await live({ s1: first })).toBe(true);
  expect(await live({ s1: second, s2: null })).toBe(false);
  expect(await live({ s1: first, s2: first })).toBe(false);
  expect(await live({ s2: null })).toBe(false);
  expect(await serves(answering({}), "c1b1", releases)).toBe(false);
});

describe("a cache has let go", () => {
  const names = ["s1", "s2"].flatMap((website) => [`${banPages.name} ${website}`, `${letGo.name} ${website}`]);
  const all = Object.fromEntries(names.map((name) => [name, {}]));

  test("when it has confirmed it for each website, of pages and of visitors", async () => {
    expect(await hasLetGo(answering(all), "c1v1", releases)).toBe(true);
  });

  test.each(names)("not when it has not confirmed %s", async (name) => {
    expect(await hasLetGo(answering({ ...all, [name]: undefined }), "c1v1", releases)).toBe(false);
  });
});
