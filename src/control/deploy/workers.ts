import { type Clock, systemClock } from "#base/clock.ts";
import type { WebsiteId } from "#contract/names.ts";

/** Works on websites side by side, on each of them with one worker at a time. */
export interface Workers {
  /** "Look at this website again"; a call while its worker runs causes one more look. */
  wake(website: WebsiteId): void;
  /** Resolves when no worker runs; call it after the signal has aborted. */
  idle(): Promise<void>;
}

interface WorkersOptions {
  /** Does one piece of work; false when there was none. */
  readonly work: (website: WebsiteId) => Promise<boolean>;
  readonly onFault: (website: WebsiteId, thrown: unknown) => void;
  /** Pause before a website whose work threw is looked at again. */
  readonly retryMs: number;
  /** Websites worked on at once. */
  readonly limit: number;
  readonly clock?: Clock;
  readonly signal: AbortSignal;
}

export function createWorkers({ work, onFault, retryMs, limit, clock = systemClock, signal }: WorkersOptions): Workers {
  const due = new Set<WebsiteId>();
  const running = new Map<WebsiteId, Promise<void>>();

  async function workOn(website: WebsiteId): Promise<void> {
    try {
      while (!signal.aborted && (await work(website)));
    } catch (thrown) {
      if (signal.aborted) return;
      onFault(website, thrown);
      await clock.sleep(retryMs, signal).catch(() => undefined);
      due.add(website);
    }
  }

  function startDue(): void {
    for (const website of due) {
      if (signal.aborted || running.size >= limit) return;
      if (running.has(website)) continue;
      due.delete(website);
      const worker = workOn(website).finally(() => {
        running.delete(website);
        startDue();
      });
      running.set(website, worker);
    }
  }

  return {
    wake: (website) => {
      due.add(website);
      startDue();
    },
    idle: async () => {
      await Promise.all(running.values());
    },
  };
}
