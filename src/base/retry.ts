import { type Clock, systemClock } from "./clock.ts";
import { Fault } from "./fault.ts";

export interface UntilOptions {
  readonly timeoutMs: number;
  readonly everyMs?: number;
  readonly signal?: AbortSignal;
  readonly clock?: Clock;
}

/**
 * Asks until the answer is not null and gives it; an attempt that throws counts as "not yet".
 * Throws Fault "wait.timed-out" with the last error as its cause.
 */
export async function until<T>(what: string, ask: () => Promise<T | null>, options: UntilOptions): Promise<T> {
  const { clock = systemClock } = options;
  const deadline = clock.elapsedMs() + options.timeoutMs;
  let lastError: unknown;
  for (;;) {
    options.signal?.throwIfAborted();
    try {
      const answer = await ask();
      if (answer !== null) return answer;
      lastError = undefined;
    } catch (thrown) {
      lastError = thrown;
    }
    if (clock.elapsedMs() >= deadline)
      throw new Fault("wait.timed-out", `waited ${options.timeoutMs / 1000} s for ${what}`, { cause: lastError });
    await clock.sleep(options.everyMs ?? 200, options.signal);
  }
}
