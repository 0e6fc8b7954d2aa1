import type { Clock } from "#base/clock.ts";

/** Values that wait for one reader, who may wait for them for a limited time. */
export class Inbox<T> {
  readonly #waiting: T[] = [];
  readonly #clock: Clock;
  #wake: (() => void) | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  push(value: T): void {
    this.#waiting.push(value);
    this.#wake?.();
  }

  /** The next value; null when none came in time or the signal aborted. */
  async next(timeoutMs: number, signal: AbortSignal): Promise<T | null> {
    if (this.#waiting.length === 0 && !signal.aborted) await this.#arrival(timeoutMs, signal);
    return this.#waiting.shift() ?? null;
  }

  #arrival(timeoutMs: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const end = (): void => {
        cancel();
        signal.removeEventListener("abort", end);
        this.#wake = undefined;
        resolve();
      };
      const cancel = this.#clock.after(Math.max(timeoutMs, 0), end);
      signal.addEventListener("abort", end);
      this.#wake = end;
    });
  }
}
