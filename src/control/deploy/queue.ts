import type { DeploymentRecord } from "../store/deployments.ts";

/** What is to be done with a website's deployments that have not ended. */
export interface QueuePlan {
  /** The one to go on with; null when there is none. */
  readonly next: DeploymentRecord | null;
  /** Those that end as superseded: a newer push waits, is under way or is live already. */
  readonly overtaken: readonly DeploymentRecord[];
}

/** One at a time: what is under way comes first; of those that wait the newest push wins. `open` is ordered by push. */
export function planQueue(open: readonly DeploymentRecord[], newestLiveAt: string | null): QueuePlan {
  const underWay = open.filter((one) => one.state !== "received");
  const newestAt = [newestLiveAt, ...open.map((one) => one.acceptedAt)].reduce(later, null);
  const waiting = open.filter((one) => one.state === "received");
  const winner = waiting.findLast((one) => one.acceptedAt === newestAt);
  return { next: underWay[0] ?? winner ?? null, overtaken: waiting.filter((one) => one !== winner) };
}

// The contract's moments have one length, so that their order as text is their order in time.
function later(a: string | null, b: string | null): string | null {
  return a === null || (b !== null && b > a) ? b : a;
}
