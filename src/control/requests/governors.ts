import { setTimeout as sleep } from "node:timers/promises";
import { Fault } from "#base/fault.ts";
import { type Action, isJob, isStream } from "#contract/action.ts";
import type { Governor } from "#contract/governor.ts";
import type { ControlFabric, Gate } from "#fabric/fabric.ts";
import { isCalled } from "#fabric/targets/match.ts";
import { endLease, type LeaseKey, listGovernors, listJobLeases, renewLease, takeLease } from "../store/governors.ts";
import type { Store } from "../store/schema.ts";

/** How much longer than its caller waits a request is valid (fabric/control.ts, fabric/envelope.ts), and something over. */
const MARGIN_MS = 20_000;
/** A job's lease is renewed while its server gives signs of life. */
const JOB_LEASE_MS = 30_000;
const LOOK_AGAIN_MS = 250;

/** The governors of a request: those of its action and the one that it names. Fault "governor.unknown". */
export async function governorsOf(store: Store, action: Action, named: string | undefined): Promise<Governor[]> {
  const all = await listGovernors(store);
  if (named !== undefined && !all.some(({ name }) => name === named))
    throw new Fault("governor.unknown", `there is no governor ${named}`, { next: `boxyard governor set ${named} --limit 1` });
  return all.filter(({ name, actions }) => name === named || actions.some((pattern) => isCalled(action.name, pattern)));
}

/**
 * Lets a server begin when every governor has room, and holds a lease of each until the server itself says that it has ended:
 * a job until the job has. Of one that says nothing, whoever has stopped waiting for it, the lease ends when it cannot be at
 * work any more. Governors are always asked in the same order, so that two requests never wait for each other.
 */
export function gateOf(
  store: Store,
  governors: readonly Governor[],
  { action, request, timeoutMs }: { action: Action; request: string; timeoutMs: number },
): Gate {
  const forMs = longestMs(action, timeoutMs);
  return async (server, signal) => {
    const taken: LeaseKey[] = [];
    const end = async (): Promise<void> => {
      // What cannot be ended now ends by itself.
      for (const lease of taken) await endLease(store, lease).catch(() => undefined);
    };
    try {
      for (const { name: governor } of governors) {
        const lease = { governor, server, request };
        while (!(await takeLease(store, { ...lease, isJob: isJob(action), forMs }))) await sleep(LOOK_AGAIN_MS, undefined, { signal });
        taken.push(lease);
      }
    } catch (thrown) {
      await end();
      throw thrown;
    }
    return (how) => {
      if (how !== "done" || !isJob(action)) void end();
    };
  };
}

/** A server may begin as long as the request is valid, and then has the action's own limit, however soon its caller gives up. */
function longestMs(action: Action, timeoutMs: number): number {
  if (isJob(action)) return Math.max(JOB_LEASE_MS, timeoutMs + MARGIN_MS);
  return (isStream(action) ? 0 : timeoutMs) + MARGIN_MS + action.timeoutMs;
}

/** Ends the leases of jobs that are over, and renews those of jobs whose servers are heard of; the others end by themselves. */
export async function tendJobLeases(store: Store, fabric: Pick<ControlFabric, "listJobs" | "registry">): Promise<void> {
  const leases = await listJobLeases(store);
  if (leases.length === 0) return;
  const jobs = await fabric.listJobs();
  for (const lease of leases) {
    const job = jobs.find(({ job, server }) => job === lease.request && server === lease.server);
    if (job === undefined) continue;
    if (job.state !== "running") await endLease(store, lease);
    else if (fabric.registry().has(lease.server)) await renewLease(store, lease, JOB_LEASE_MS);
  }
}
