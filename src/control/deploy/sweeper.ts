import type { Clock } from "#base/clock.ts";
import type { FaultReport } from "#base/fault.ts";
import type { Log } from "#base/log.ts";
import { banPages } from "#contract/actions/cache.ts";
import type { CommitId, ServerName, WebsiteId } from "#contract/names.ts";
import type { ControlFabric } from "#fabric/fabric.ts";
import type { WebsiteOnYard } from "../store/website-on-yard.ts";
import { askAll } from "./ask.ts";

/**
 * Bans a website's old pages some more times after a deployment: an answer that a box was still making at the switch may
 * reach a cache long after the first ban, and a cache may have been out of reach.
 */
export interface Sweeper {
  /** Starts the series for the website; a series that still runs for it ends. */
  sweep(site: WebsiteOnYard | null, keep: CommitId | null): void;
  /** Resolves when no series runs any more; they end when the signal aborts. */
  idle(): Promise<void>;
}

interface SweeperOptions {
  readonly fabric: ControlFabric;
  readonly log: Log;
  readonly clock: Clock;
  readonly sweepsMs: readonly number[];
  readonly signal: AbortSignal;
}

export function createSweeper({ fabric, log, clock, sweepsMs, signal }: SweeperOptions): Sweeper {
  const series = new Map<WebsiteId, AbortController>();
  const running = new Set<Promise<void>>();

  async function sweepSeries({ id, caches }: WebsiteOnYard, keep: CommitId | null, until: AbortSignal): Promise<void> {
    let silent: ReadonlyMap<ServerName, FaultReport> = new Map();
    for (const pauseMs of sweepsMs) {
      await clock.sleep(pauseMs, until);
      const answers = await askAll({ fabric, signal: until }, banPages, { servers: caches, input: { website: id, keep } });
      silent = new Map(answers.flatMap(({ server, fault }) => (fault === undefined ? [] : [[server, fault]])));
    }
    for (const [server, fault] of silent) log.warn({ website: id, server, fault }, "old pages may stand in a cache");
  }

  return {
    sweep: (site, keep) => {
      if (site === null || site.caches.length === 0) return;
      series.get(site.id)?.abort();
      const own = new AbortController();
      series.set(site.id, own);
      const run = sweepSeries(site, keep, AbortSignal.any([own.signal, signal]))
        .catch(() => undefined)
        .finally(() => {
          running.delete(run);
          if (series.get(site.id) === own) series.delete(site.id);
        });
      running.add(run);
    },
    idle: async () => {
      await Promise.all(running);
    },
  };
}
