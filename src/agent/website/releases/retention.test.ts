import fc from "fast-check";
import { expect, test } from "vitest";
import { KEPT_RELEASES, planRemovals } from "./retention.ts";

const commits = fc
  .uniqueArray(fc.nat({ max: 0xffff }), { maxLength: 20 })
  .map((numbers) => numbers.map((n) => n.toString(16).padStart(40, "0")));
const asStaged = (commit: string) => ({
  commit,
  docroot: "docroot",
  environment: "production",
  overlayKey: "",
  stagedAt: "2026-11-23T08:00:00.000000Z",
  filesChanged: 0,
  hooks: { update: [], after: [] },
  snapshotsDatabases: false,
  holdSeconds: null,
});

test("of any releases, the newest stay and those that are needed stay; all others go", () => {
  fc.assert(
    fc.property(commits, fc.array(fc.nat({ max: 19 }), { maxLength: 2 }), (newestFirst, chosen) => {
      const needed = new Set(chosen.map((index) => newestFirst[index]).filter((commit) => commit !== undefined));
      const removed = planRemovals(newestFirst.map(asStaged), needed);
      const stay = newestFirst.filter((commit, age) => age < KEPT_RELEASES || needed.has(commit));
      expect(new Set([...removed, ...stay])).toEqual(new Set(newestFirst));
      expect(removed.some((commit) => stay.includes(commit))).toBe(false);
    }),
  );
});
