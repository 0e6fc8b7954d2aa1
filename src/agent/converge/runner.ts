import { Fault, type FaultReport, reportFault } from "#base/fault.ts";
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

/** Converges groups one after the other; a resource that fails ends its group's turn, the other groups go on. */
export async function convergeGroups(groups: readonly ResourceGroup[], signal: AbortSignal): Promise<Outcome> {
  const changed: string[] = [];
  const faults: { resource: string; code: string; message: string }[] = [];
  const websiteFaults: WebsiteFault[] = [];
  for (const group of groups) {
    for (const resource of group.resources) {
      signal.throwIfAborted();
      const fault = await convergeOne(resource, signal).then(
        (hasChanged) => void (hasChanged && changed.push(resource.id)),
        (thrown: unknown): FaultReport => reportFault(thrown),
      );
      if (fault === undefined) continue;
      if (resource.website !== undefined) {
        websiteFaults.push({ website: resource.website, resource: resource.id, ...fault });
        continue;
      }
      faults.push({ resource: `${group.name}: ${resource.id}`, code: fault.code, message: fault.message });
      break;
    }
  }
  return { changed, faults, websiteFaults };
}

/** Whether it had to be changed. */
async function convergeOne(resource: Resource, signal: AbortSignal): Promise<boolean> {
  if ((await resource.mismatch(signal)) === null) return false;
  await resource.apply(signal);
  const after = await resource.mismatch(signal);
  if (after !== null) throw new Fault("converge.not-converged", `${resource.id} did not converge: ${after}`);
  return true;
}
