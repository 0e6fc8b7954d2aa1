import { type Clock, systemClock } from "./clock.ts";

export interface LoopOptions {
  /** Looks at the world and puts it right; takes no input but the signal, on purpose. */
  readonly work: (signal: AbortSignal) => Promise<void>;
  /** A turn starts at the latest this long after the last one ended. */
  readonly everyMs: number;
  /** Told of each turn that threw; the next turn is the retry. */
  readonly onFault: (thrown: unknown) => void;
  readonly clock?: Clock;
}

/** A level-triggered loop: never two turns at once, and a nudge during a turn causes exactly one more. */
export interface Loop {
  start(): void;
  /** "Look again"; carries no data. */
  nudge(): void;
  /** Aborts the turn under way and resolves when it has ended. May be called twice. */
  stop(): Promise<void>;
}

export function loop(options: LoopOptions): Loop {
  const { clock = systemClock } = options;
  const stopping = new AbortController();
  let wake = new AbortController();
  let running: Promise<void> | undefined;

  async function turns(): Promise<void> {
    while (!stopping.signal.aborted) {
      wake = new AbortController();
      await options.work(stopping.signal).catch((thrown: unknown) => {
        if (!stopping.signal.aborted) options.onFault(thrown);
      });
      await clock.sleep(options.everyMs, wake.signal).catch(() => undefined);
    }
  }

  return {
    start: () => {
      running ??= turns();
    },
    nudge: () => wake.abort(),
    stop: async () => {
      stopping.abort();
      wake.abort();
      await running;
    },
  };
}
