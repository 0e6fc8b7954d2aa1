import type { Clock } from "#base/clock.ts";
import { DeploymentStory, isLast, type ToldLine } from "#contract/deployment-story.ts";
import type { Push } from "#contract/push.ts";
import type { News } from "./deployment-news.ts";
import type { Inbox } from "./inbox.ts";

/** How a push ends for the pusher: `git push` exits 0, or not and with the reason. */
export type Verdict = { readonly isOk: true } | { readonly isOk: false; readonly reason: string };

const TIMING = {
  /** The pusher hears of control within this time, or is told that the push waits. */
  silenceMs: 20_000,
  /** The same where another control server may take over, which takes some 25 s, more on a busy host. */
  takeoverMs: 60_000,
  /** The same, once control has been heard. */
  laterSilenceMs: 180_000,
  /** A line at least this often. */
  heartbeatMs: 10_000,
  /** A failed push ends for the pusher when its branch is back, so that the same push can follow at once. */
  settleMs: 6_000,
} as const;

export interface StoryOptions {
  readonly push: Push;
  readonly news: Inbox<News>;
  readonly say: (line: string) => void;
  /** Whether another control server takes over when the one that leads is gone. */
  readonly maybeTakenOver: boolean;
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

/** Tells the pusher what happens to an accepted push, line by line, and gives how it ended. */
export async function tellStory(options: StoryOptions): Promise<Verdict> {
  const { push, news, say, clock, signal } = options;
  const startedMs = clock.elapsedMs();
  const tell = (line: string): void => say(`${elapsed(clock.elapsedMs() - startedMs)}  ${oneLine(line)}`);
  const story = new DeploymentStory();
  tell(`accepted ${push.commit.slice(0, 7)} as push ${push.id}`);
  let heardMs = startedMs;
  let silenceMs: number = options.maybeTakenOver ? TIMING.takeoverMs : TIMING.silenceMs;
  let isHeard = false;
  for (;;) {
    const leftMs = heardMs + silenceMs - clock.elapsedMs();
    const one = await news.next(Math.min(TIMING.heartbeatMs, leftMs), signal);
    if (signal.aborted || (one === null && clock.elapsedMs() - heardMs >= silenceMs)) return waits(push);
    if (one === null) {
      tell(isHeard ? "still under way" : "control has not answered yet");
      continue;
    }
    isHeard = true;
    heardMs = clock.elapsedMs();
    silenceMs = TIMING.laterSilenceMs;
    if (one.kind === "settled") return ended(one);
    const told = story.read(one);
    if (KEYWORDS.includes(told.tone)) say(`${told.tone}: ${oneLine(told.text)}`);
    else tell(told.tone === "detail" ? `  ${told.text}` : told.text);
    if (isLast(told)) return told.tone === "success" ? { isOk: true } : settled(options, told.text);
  }
}

/** Git colours lines that begin with these, where the pusher has a terminal. */
const KEYWORDS: readonly ToldLine["tone"][] = ["warning", "success", "error"];

/** Waits for control's own word, with which the branch goes back. */
async function settled({ news, clock, signal }: StoryOptions, line: string): Promise<Verdict> {
  const endMs = clock.elapsedMs() + TIMING.settleMs;
  for (;;) {
    const one = await news.next(endMs - clock.elapsedMs(), signal);
    if (one === null) return { isOk: false, reason: short(line) };
    if (one.kind === "settled") return one.isLive ? { isOk: true } : { isOk: false, reason: short(line) };
  }
}

function ended({ isLive, reason }: { readonly isLive: boolean; readonly reason: string | null }): Verdict {
  return isLive ? { isOk: true } : { isOk: false, reason: short(reason ?? "not live") };
}

function waits({ id }: Push): Verdict {
  return { isOk: false, reason: `recorded as push ${id}; it deploys when control is back` };
}

function elapsed(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`.padStart(7);
}

function short(line: string): string {
  const text = oneLine(line);
  return text.length > 300 ? `${text.slice(0, 300)}…` : text;
}

function oneLine(text: string): string {
  return text.replace(/[\p{Cc}\u2028\u2029]+/gu, " ");
}
