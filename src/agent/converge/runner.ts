import { Fault, reportFault } from "#base/fault.ts";
import type { WebsiteFault } from "#contract/status.ts";
import type { Resource, ResourceGroup } from "./resource.ts";

/** How one convergence turn went. */
export interface Outcome {
  /** Ids of the resources that were changed. */
  readonly changed: readonly string[];
  readonly faults: readonly { readonly resource: string; readonly code: string; readonly message: string }[];
  /** What websites have done in their own areas; the server is as it should be all the same. */
  readonly websiteFaults: readonly WebsiteFault[];
}

/**
 * Converges groups one after the other; a resource that fails ends its group's turn, the other groups go on. The resources of a
 * group are checked all at once, as mostly all is well; after one that is not, each later one is checked again when it is its turn.
 */
export async function convergeGroups(groups: readonly ResourceGroup[], signal: AbortSignal): Promise<Outcome> {
  const outcome: Turn = { changed: [], faults: [], websiteFaults: [] };
  for (const group of groups) await convergeGroup(group, outcome, signal);
  return outcome;
}

type Turn = { readonly [K in keyof Outcome]: Outcome[K][number][] };

async function convergeGroup({ name, resources }: ResourceGroup, turn: Turn, signal: AbortSignal): Promise<void> {
  signal.throwIfAborted();
  const checks = resources.map(async (resource) => resource.mismatch(signal));
  await Promise.allSettled(checks);
  let isUnchanged = true;
  for (const [nth, resource] of resources.entries()) {
    signal.throwIfAborted();
    try {
      if ((await (isUnchanged ? checks[nth] : resource.mismatch(signal))) === null) continue;
      isUnchanged = false;
      await change(resource, signal);
      turn.changed.push(resource.id);
    } catch (thrown) {
      isUnchanged = false;
      const { code, message, ...fault } = reportFault(thrown);
      if (resource.website === undefined) {
        turn.faults.push({ resource: `${name}: ${resource.id}`, code, message });
        return;
      }
      turn.websiteFaults.push({ website: resource.website, resource: resource.id, code, message, ...fault });
    }
  }
}

/** Makes it as wanted, and checks that it is. */
async function change(resource: Resource, signal: AbortSignal): Promise<void> {
  await resource.apply(signal);
  const after = await resource.mismatch(signal);
  if (after !== null) throw new Fault("converge.not-converged", `${resource.id} did not converge: ${after}`);
}
