import { type Clock, systemClock } from "#base/clock.ts";
import { reportFault } from "#base/fault.ts";
import type { Log } from "#base/log.ts";
import { loop } from "#base/loop.ts";
import type { ServerName } from "#contract/names.ts";
import type { Push } from "#contract/push.ts";
import type { ControlFabric } from "#fabric/fabric.ts";
import type { Rotation } from "../rotation/rotation.ts";
import { type DeploymentOrder, listAfterDue, listWebsitesUnderWay, recordOrder, recordPush } from "../store/deployments.ts";
import type { Store } from "../store/schema.ts";
import { cancel } from "./cancel.ts";
import { type Builders, type DeployContext, TIMING, type Timing } from "./context.ts";
import { createLead } from "./lead.ts";
import { runNext } from "./run.ts";
import { beginAfter } from "./steps/after.ts";
import { refusePush, settleAll } from "./steps/settle.ts";
import { createSweeper } from "./sweeper.ts";
import { openTurn } from "./turn.ts";
import { createWorkers } from "./workers.ts";

export interface CoordinatorOptions {
  readonly store: Store;
  readonly fabric: ControlFabric;
  readonly log: Log;
  /** Takes servers out that a deployment goes on without. */
  readonly rotation: Rotation;
  readonly builders: Builders;
  /** Told (without data) when a website's release has changed in the rows: the planner is to look again. */
  readonly onRowsChanged: () => void;
  /** Shorter times, for tests. */
  readonly timing?: Partial<Timing>;
  readonly clock?: Clock;
}

/** Websites that deploy at the same time. */
const WEBSITES_AT_ONCE = 16;
const SCAN_MS = 15_000;

export interface Coordinator {
  /** Records a deployment that somebody asks for, and begins it when its turn comes; gives its id. Throws Fault "website.unknown". */
  order(wanted: DeploymentOrder): Promise<number>;
  /** Ends a deployment that has not switched yet; false when there is none. Throws Fault "deployment.too-late" when it has. */
  cancel(deployment: number, caller: string): Promise<boolean>;
  stop(): Promise<void>;
}

/**
 * Takes pushes, brings every deployment to its end (also those that an earlier process left behind), one at a time for a
 * website, and tells the git server how each push ended. `stop` leaves what is under way as persisted; a later start goes on.
 */
export function startCoordinator(options: CoordinatorOptions): Coordinator {
  const stopping = new AbortController();
  const { signal } = stopping;
  const context = contextOf(options, signal);
  const { store, fabric, log, timing, clock } = context;
  const warn = (message: string) => (thrown: unknown) => log.warn({ fault: reportFault(thrown) }, message);

  const settling = loop({ everyMs: timing.settleMs, work: () => settleAll(context), onFault: warn("pushes not settled"), clock });
  const workers = createWorkers({
    work: (website) => runNext(context, website).finally(() => settling.nudge()),
    onFault: (website, thrown) => log.error({ website, fault: reportFault(thrown) }, "deployment interrupted, it goes on in a moment"),
    retryMs: timing.retryMs,
    limit: WEBSITES_AT_ONCE,
    clock,
    signal,
  });
  const scanning = loop({
    everyMs: SCAN_MS,
    work: async () => {
      (await listWebsitesUnderWay(store)).forEach(workers.wake);
      for (const deployment of await listAfterDue(store))
        if (!context.afterwards.has(deployment.id)) beginAfter(await openTurn(context, deployment));
      await context.builders.retire();
    },
    onFault: warn("deployments not looked at"),
    clock,
  });
  const take = async (push: Push): Promise<void> => {
    const clockOffsetMs = await offsetOf(context, push.server);
    if (await recordPush(store, push, { clockOffsetMs, clock })) workers.wake(push.website);
    else await refusePush(context, push);
  };
  const consuming = loop({
    everyMs: timing.retryMs,
    work: () => fabric.consumePushes(take, signal),
    onFault: warn("pushes not consumed"),
    clock,
  });

  const loops = [settling, scanning, consuming];
  for (const one of loops) one.start();
  return {
    order: async (wanted) => {
      const id = await recordOrder(store, wanted, clock);
      workers.wake(wanted.website);
      return id;
    },
    cancel: async (deployment, caller) => {
      const isKnown = await cancel(context, deployment, caller);
      settling.nudge();
      return isKnown;
    },
    stop: async () => {
      stopping.abort();
      await Promise.all([...loops.map((one) => one.stop()), workers.idle(), context.sweeper.idle()]);
      await Promise.all(context.afterwards.values());
    },
  };
}

/** By how much the git server's clock is ahead of this one's; a process that has just begun waits a moment to hear of it. */
async function offsetOf({ fabric, clock, timing, signal }: DeployContext, server: ServerName): Promise<number> {
  const deadlineMs = clock.elapsedMs() + timing.fenceMs;
  while (fabric.lastHeard(server) === null && clock.elapsedMs() < deadlineMs) await clock.sleep(timing.againMs, signal);
  return fabric.clockOffsetMs(server);
}

function contextOf({ timing: shorter, clock = systemClock, ...options }: CoordinatorOptions, signal: AbortSignal): DeployContext {
  const timing = { ...TIMING, ...shorter };
  const sweeper = createSweeper({ fabric: options.fabric, log: options.log, clock, sweepsMs: timing.sweepsMs, signal });
  return { ...options, clock, timing, sweeper, lead: createLead(timing.lead), underWay: new Map(), afterwards: new Map(), signal };
}
