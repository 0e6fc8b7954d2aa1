import { mkdir, readdir, readlink } from "node:fs/promises";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { microsOf, nowMicros, timestampOf } from "#base/clock.ts";
import type { CommitId } from "#contract/names.ts";
import { TestSite } from "./test-site.ts";
import type { WebsiteReleases } from "./website-releases.ts";

let site: TestSite;
let releases: WebsiteReleases;
const signal = new AbortController().signal;

beforeEach(async () => {
  site = await TestSite.create();
  releases = site.releases();
});
afterEach(() => site.remove());

async function staged(content: string): Promise<CommitId> {
  const commit = await site.commit(`mkdir -p docroot; echo ${content} > docroot/index.php`);
  await releases.stage("s1", commit, signal);
  return commit;
}

const inMs = (ms: number): { at: string; latestMs: number } => ({ at: timestampOf(nowMicros() + ms * 1_000), latestMs: 500 });

describe("a switch", () => {
  test("happens at the agreed instant, never before it, and says when and what was live", async () => {
    const [one, two] = [await staged("one"), await staged("two")];
    expect((await releases.switchTo({ website: "s1", release: one, decision: 1 }, inMs(5), signal)).previous).toBeNull();
    const when = inMs(30);
    const switching = releases.switchTo({ website: "s1", release: two, decision: 1 }, when, signal);
    expect(releases.live("s1")).toBe(one);
    const { switchedAt, previous } = await switching;
    expect(previous).toBe(one);
    expect(microsOf(switchedAt)).toBeGreaterThanOrEqual(microsOf(when.at));
    expect(await readlink(site.paths.current)).toBe(`releases/${two}`);
    expect(await readlink(site.paths.previous)).toBe(`releases/${one}`);
    expect((await readdir(site.paths.site)).filter((name) => name.includes("next"))).toEqual([]);
  });

  test("that is asked for again says when it was done, and does nothing", async () => {
    const one = await staged("one");
    const first = await releases.switchTo({ website: "s1", release: one, decision: 1 }, inMs(0), signal);
    await new Promise((resolve) => setTimeout(resolve, 30));
    const again = await releases.switchTo({ website: "s1", release: one, decision: 1 }, inMs(5), signal);
    expect(Math.abs(microsOf(again.switchedAt) - microsOf(first.switchedAt))).toBeLessThan(15_000);
    expect(again.previous).toBe(one);
  });

  test("that comes in the same moment as another one is done as well, and what was live before stays known", async () => {
    const [one, two, three] = [await staged("one"), await staged("two"), await staged("three")];
    await releases.switchTo({ website: "s1", release: one, decision: 1 }, inMs(0), signal);
    const when = inMs(20);
    const switches = [two, three].map((release, nth) => releases.switchTo({ website: "s1", release, decision: 2 + nth }, when, signal));
    expect((await Promise.all(switches)).map(({ previous }) => previous)).toEqual([one, one]);
    expect([two, three]).toContain(releases.live("s1"));
    expect(await readlink(site.paths.previous)).toBe(`releases/${one}`);
    expect((await readdir(site.paths.site)).filter((name) => name.includes("next"))).toEqual([]);
  });

  test("whose instant has passed by too much is refused, and nothing changes", async () => {
    const [one, two] = [await staged("one"), await staged("two")];
    await releases.switchTo({ website: "s1", release: one, decision: 1 }, inMs(0), signal);
    const late = { at: timestampOf(nowMicros() - 2_000_000), latestMs: 500 };
    await expect(releases.switchTo({ website: "s1", release: two, decision: 1 }, late, signal)).rejects.toMatchObject({
      code: "release.too-late",
    });
    expect(releases.live("s1")).toBe(one);
  });

  test("to a release that is not staged is refused", async () => {
    await expect(releases.switchTo({ website: "s1", release: "0".repeat(40), decision: 1 }, inMs(0), signal)).rejects.toMatchObject({
      code: "release.not-staged",
    });
  });

  test("that is cancelled while it waits leaves nothing behind", async () => {
    const one = await staged("one");
    const calledOff = new AbortController();
    const switching = releases.switchTo({ website: "s1", release: one, decision: 1 }, inMs(10_000), calledOff.signal);
    setTimeout(() => calledOff.abort(), 20);
    await expect(switching).rejects.toThrow();
    expect(await readdir(site.paths.site)).not.toContain("current");
    expect((await readdir(site.paths.site)).filter((name) => name.includes("next"))).toEqual([]);
  });

  test("can be undone: withdrawing leaves no live release, and does so twice without harm", async () => {
    const one = await staged("one");
    await releases.switchTo({ website: "s1", release: one, decision: 1 }, inMs(0), signal);
    expect(await releases.withdraw("s1", 1)).toBe(one);
    expect(await releases.withdraw("s1", 1)).toBeNull();
    expect(releases.live("s1")).toBeNull();
  });
});

describe("convergence", () => {
  test("brings a server that was away to the spec's release, from nothing", async () => {
    const commit = await site.commit("mkdir docroot; echo hi > docroot/index.php");
    await releases.converge({ ...site.website, release: commit }, signal);
    expect(releases.live("s1")).toBe(commit);
  });

  test("does not take back a switch that the spec does not know yet, and follows the spec when it changes", async () => {
    const [one, two] = [await staged("one"), await staged("two")];
    site.website = { ...site.website, release: one };
    await releases.converge(site.website, signal);
    await releases.switchTo({ website: "s1", release: two, decision: 1 }, inMs(0), signal);
    expect(releases.expected(site.website)).toBe(two);
    await releases.converge(site.website, signal);
    expect(releases.live("s1")).toBe(two);
    site.website = { ...site.website, release: two, decision: 1 };
    expect(releases.expected(site.website)).toBe(two);
    site.website = { ...site.website, release: one, decision: 2 };
    await releases.converge(site.website, signal);
    expect(releases.live("s1")).toBe(one);
  });
});

test("an agent that is started anew before the spec tells of a switch does not take it back", async () => {
  const [one, two] = [await staged("one"), await staged("two")];
  site.website = { ...site.website, release: one, decision: 1 };
  await releases.converge(site.website, signal);
  await releases.switchTo({ website: "s1", release: two, decision: 2 }, inMs(0), signal);
  const next = site.releases();
  expect(next.expected(site.website)).toBe(two);
  await next.converge(site.website, signal);
  expect(next.live("s1")).toBe(two);
  site.website = { ...site.website, decision: 3 };
  await next.converge(site.website, signal);
  expect(next.live("s1")).toBe(one);
  expect(site.releases().expected({ ...site.website, decision: 1 }), "what the spec has overtaken is forgotten").toBe(one);
});

test("what the spec says of an earlier decision comes too late to take a switch back", async () => {
  const [one, two] = [await staged("one"), await staged("two")];
  await releases.switchTo({ website: "s1", release: two, decision: 7 }, inMs(0), signal);
  await releases.switchTo({ website: "s1", release: one, decision: 8 }, inMs(0), signal);
  site.website = { ...site.website, release: two, decision: 7 };
  await releases.converge(site.website, signal);
  expect(releases.live("s1")).toBe(one);
});

test("releases go that never went live or did long ago, but never the live one, the one before it, and what was staged last", async () => {
  const commits: CommitId[] = [];
  for (let number = 0; number < 7; number++) commits.push(await staged(`number${number}`));
  const [first = "", second = "", good = "", bad = "", again = "", forgotten = "", newest = ""] = commits;
  await releases.switchTo({ website: "s1", release: first, decision: 1 }, inMs(0), signal);
  await releases.switchTo({ website: "s1", release: second, decision: 1 }, inMs(0), signal);
  await releases.stage("s1", again, signal);
  const website = { ...site.website, goodReleases: [good, "a".repeat(40)] };
  expect((await releases.surplus(website)).sort()).toEqual([bad, forgotten].sort());
  await releases.removeSurplus(website, signal);
  expect((await readdir(site.paths.releases)).sort()).toEqual([first, second, good, again, newest].sort());
  expect(await releases.surplus(website)).toEqual([]);
  await mkdir(site.paths.releases, { recursive: true });
  const next = await staged("after");
  expect(await readdir(site.paths.releases)).toContain(next);
});

test("a server that catches up with the release before never undoes a switch that comes meanwhile", async () => {
  const [one, two] = [await staged("one"), await staged("two")];
  site.website = { ...site.website, release: one, decision: 1 };
  for (let waitMs = 0; waitMs < 12; waitMs++) {
    const fresh = site.releases();
    await fresh.withdraw("s1", 0);
    const catchingUp = fresh.converge(site.website, signal);
    await fresh.switchTo({ website: "s1", release: two, decision: 2 }, inMs(waitMs / 2), signal);
    await catchingUp;
    expect(fresh.live("s1")).toBe(two);
  }
});
