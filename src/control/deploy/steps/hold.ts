import { setTimeout as sleep } from "node:timers/promises";
import { nowMicros, timestampOf } from "#base/clock.ts";
import { reportFault } from "#base/fault.ts";
import { holdRequests, letGo as letGoAction } from "#contract/actions/cache.ts";
import { askAll } from "../ask.ts";
import { faultLines, names } from "../lines.ts";
import { faultsOf, note, type ServerFault, type Turn } from "../turn.ts";

const ATTEMPTS = 4;

/**
 * From now on visitors wait at the caches instead of being sent to boxes; a cache that cannot be told is taken out of rotation
 * when another was. Gives those that visitors are still sent through. Nothing to do unless the deployment is held.
 */
export async function hold(turn: Turn): Promise<readonly ServerFault[]> {
  const { context, deployment, site } = turn;
  const { website, holdSeconds: seconds } = deployment;
  if (seconds === null || site === null) return [];
  // Should all of control be gone for so long, visitors are let go.
  const until = timestampOf(nowMicros() + context.timing.holdMs * 1_000);
  const input = { website, domains: [...site.domains], seconds, until };
  const faults = faultsOf(await askAll(context, holdRequests, { servers: site.caches, input }));
  if (faults.length === site.caches.length) return faults;
  if (faults.length === 0) return [];
  try {
    const fences = faults.map(({ server, fault }) => ({ server, reason: fault.message, deployment: deployment.id }));
    await context.rotation.fenceCaches(site.cluster, fences, context.signal);
    return [];
  } catch (thrown) {
    if (context.signal.aborted) throw thrown;
    return faults.map(({ server }) => ({ server, fault: reportFault(thrown) }));
  }
}

/** Visitors who wait are sent to boxes. A cache that does not hear it lets them go when the hold is over. */
export async function letGo(turn: Turn): Promise<void> {
  const { context, deployment, site } = turn;
  if (deployment.holdSeconds === null || site === null) return;
  let waiting = site.caches;
  for (let attempt = 1; ; attempt++) {
    const faults = faultsOf(await askAll(context, letGoAction, { servers: waiting, input: { website: deployment.website } }));
    if (faults.length === 0) return note(turn, "visitors who waited go on");
    waiting = faults.map(({ server }) => server);
    if (attempt === ATTEMPTS) {
      return note(turn, `warning: visitors may still wait at ${names(waiting)}: ${faultLines(faults)}`);
    }
    await sleep(context.timing.againMs, undefined, { signal: context.signal });
  }
}
