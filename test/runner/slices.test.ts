import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { execa } from "execa";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { readHistory, SLICES, turnOf } from "./slices.ts";

describe("whose turn it is", () => {
  const commit = "0000000b".padEnd(40, "a");
  const history = (commits: number) => ({ isShallow: false, commits, commit });

  test("goes round: as many commits in a row as there are slices have all of them", () => {
    const turns = SLICES.map((_, nth) => turnOf(history(300 + nth)).slice);
    expect(new Set(turns)).toEqual(new Set(SLICES));
  });

  test("is the same each time for the same commit, and its seed is the number of commits", () => {
    expect(turnOf(history(313))).toEqual(turnOf(history(313)));
    expect(turnOf(history(313))).toEqual({ slice: SLICES[313 % SLICES.length], seed: 313, reason: "313 commits" });
  });

  test("goes by the commit's id in a shallow clone, which has too few commits to count, and says so", () => {
    expect(turnOf({ isShallow: true, commits: 1, commit })).toEqual({
      slice: SLICES[11 % SLICES.length],
      seed: 11,
      reason: "a shallow clone cannot count commits: by the id of commit 0000000b",
    });
  });

  test("is the first slice's where there is no history", () => {
    expect(turnOf(null)).toMatchObject({ slice: SLICES[0], seed: 0 });
  });
});

describe("the history of a checkout", () => {
  let scratch: string;
  const git = (...args: string[]) => execa("git", ["-c", "user.name=x", "-c", "user.email=x@example.org", ...args], { cwd: scratch });

  beforeAll(async () => {
    scratch = await mkdtemp(join(tmpdir(), "boxyard-history-"));
    await git("init", "-q", "-b", "main", "origin");
    for (const message of ["one", "two", "three"]) await git("-C", "origin", "commit", "-q", "--allow-empty", "-m", message);
    await git("clone", "-q", `file://${scratch}/origin`, "whole");
    await git("clone", "-q", "--depth", "1", `file://${scratch}/origin`, "shallow");
  });
  afterAll(() => rm(scratch, { recursive: true }));

  test("has the number of commits, says when it is cut off, and is none outside a checkout", async () => {
    const { stdout: commit } = await git("-C", "origin", "rev-parse", "HEAD");
    expect(await readHistory(join(scratch, "whole"))).toEqual({ isShallow: false, commits: 3, commit });
    expect(await readHistory(join(scratch, "shallow"))).toEqual({ isShallow: true, commits: 1, commit });
    expect(await readHistory(scratch)).toBeNull();
  });
});
