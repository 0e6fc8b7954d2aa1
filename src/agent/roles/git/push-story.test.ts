import { expect, test } from "vitest";
import type { Push } from "#contract/push.ts";
import { SEED } from "#harness/seed.ts";
import { VirtualClock } from "#harness/virtual-clock.ts";
import type { News } from "./deployment-news.ts";
import { Inbox } from "./inbox.ts";
import { tellStory, type Verdict } from "./push-story.ts";

const PUSH: Push = {
  id: "s1-1",
  website: "s1",
  branch: "main",
  commit: "a".repeat(40),
  previous: null,
  acceptedAt: "2026-11-24T00:00:00.000000Z",
  server: "git1",
  needsBuild: false,
};
const WAITS: Verdict = { isOk: false, reason: "recorded as push s1-1; it deploys when control is back" };
const STAGING: News = { kind: "step", state: "staging", line: "staging on c1b1" };
const FAILED: News = { kind: "step", state: "failed", line: "c1b1: no space" };
const LIVE: News = { kind: "step", state: "live", line: "live: aaaaaaa" };

interface Told {
  readonly verdict: Verdict;
  readonly lines: readonly string[];
  readonly endedMs: number;
}

/** What a pusher reads when news comes at these moments, and the agent is stopped at that one. */
async function tell(
  news: readonly (readonly [atMs: number, News])[],
  { stoppedAtMs, maybeTakenOver = false }: { stoppedAtMs?: number; maybeTakenOver?: boolean } = {},
): Promise<Told> {
  const clock = new VirtualClock(SEED);
  const inbox = new Inbox<News>(clock);
  const stopping = new AbortController();
  for (const [atMs, one] of news) clock.after(atMs, () => inbox.push(one));
  if (stoppedAtMs !== undefined) clock.after(stoppedAtMs, () => stopping.abort());
  const lines: string[] = [];
  const say = (line: string): void => void lines.push(line.trim());
  return clock.during(async () => {
    const verdict = await tellStory({ push: PUSH, news: inbox, say, maybeTakenOver, clock, signal: stopping.signal });
    return { verdict, lines, endedMs: clock.elapsedMs() };
  });
}

test("a pusher hears that the push goes on every ten seconds, and after twenty without a word of control that it waits", async () => {
  expect(await tell([])).toEqual({
    verdict: WAITS,
    lines: ["0.0 s  accepted aaaaaaa as push s1-1", "10.0 s  control has not answered yet"],
    endedMs: 20_000,
  });
});

test("a pusher waits for a minute where another control server may take over, and reads how the push ended", async () => {
  expect(await tell([], { maybeTakenOver: true })).toMatchObject({ verdict: WAITS, endedMs: 60_000 });
  expect(await tell([[45_000, LIVE]], { maybeTakenOver: true })).toMatchObject({ verdict: { isOk: true }, endedMs: 45_000 });
});

test("control that was heard may be silent for three minutes", async () => {
  const spoken = await tell([
    [5_000, STAGING],
    [184_000, LIVE],
  ]);
  expect(spoken.verdict).toEqual({ isOk: true });
  expect(spoken.lines.filter((line) => line.endsWith("still under way"))).toHaveLength(17);
  expect(spoken.lines.at(-1)).toBe("success: live: aaaaaaa");
  expect(await tell([[5_000, STAGING]])).toMatchObject({ verdict: WAITS, endedMs: 185_000 });
});

test("a failed push ends when its branch is back, or six seconds later", async () => {
  const verdict = { isOk: false, reason: "c1b1: no space" };
  const settled: News = { kind: "settled", isLive: false, reason: "no space" };
  expect(await tell([[1_000, FAILED]])).toMatchObject({ verdict, endedMs: 7_000 });
  const both = [[1_000, FAILED] as const, [3_000, settled] as const];
  expect(await tell(both)).toMatchObject({ verdict, endedMs: 3_000 });
});

test("an agent that is stopped leaves the push as one that waits", async () => {
  expect(await tell([[1_000, STAGING]], { stoppedAtMs: 2_000 })).toMatchObject({ verdict: WAITS, endedMs: 2_000 });
});
