import { Fault, reportFault } from "#base/fault.ts";
import { NEEDS_RESTART, type WebsiteFault } from "#contract/status.ts";
import type { Resource, ResourceGroup } from "./resource.ts";
import { showUnit } from "./unit-state.ts";

/** How one convergence turn went. */
export interface Outcome {
  /** Ids of the resources that were changed. */
  readonly changed: readonly string[];
  readonly faults: readonly { readonly resource: string; readonly code: string; readonly message: string }[];
  /** What websites have done in their own areas; the server is as it should be all the same. */
  readonly websiteFaults: readonly WebsiteFault[];
  /** Units whose restart waits until control says when. */
  readonly restarts: readonly string[];
}

/**
 * Converges groups one after the other; a resource that fails ends its group's turn, the other groups go on. The resources of a
 * group are checked all at once, as mostly all is well; after one that is not, each later one is checked again when it is its turn.
 *
 * Unless it `mayRestart`, what restarts a unit that runs is left for later, and the group goes on: the unit runs as it was. A
 * later resource of the group that fails may lack what the restart brings: its fault has the code NEEDS_RESTART.
 */
export async function convergeGroups(
  groups: readonly ResourceGroup[],
  signal: AbortSignal,
  { mayRestart = true, isRunning = async (unit: string) => (await showUnit(unit)).running } = {},
): Promise<Outcome> {
  const outcome: Turn = { changed: [], faults: [], websiteFaults: [], restarts: [] };
  const waits = async ({ restarts }: Resource): Promise<boolean> => !mayRestart && restarts !== undefined && (await isRunning(restarts));
  for (const group of groups) await convergeGroup(group, outcome, { signal, waits });
  return outcome;
}

type Turn = { readonly [K in keyof Outcome]: Outcome[K][number][] };

interface TurnOptions {
  readonly signal: AbortSignal;
  /** Whether a resource waits until control says when. */
  readonly waits: (resource: Resource) => Promise<boolean>;
}

async function convergeGroup({ name, resources }: ResourceGroup, turn: Turn, { signal, waits }: TurnOptions): Promise<void> {
  signal.throwIfAborted();
  const checks = resources.map(async (resource) => resource.mismatch(signal));
  await Promise.allSettled(checks);
  let isUnchanged = true;
  let isWaiting = false;
  for (const [nth, resource] of resources.entries()) {
    signal.throwIfAborted();
    try {
      if ((await (isUnchanged ? checks[nth] : resource.mismatch(signal))) === null) continue;
      isUnchanged = false;
      if (await waits(resource)) {
        isWaiting = true;
        turn.restarts.push(resource.restarts ?? "");
        continue;
      }
      await change(resource, signal);
      turn.changed.push(resource.id);
    } catch (thrown) {
      isUnchanged = false;
      const { code, message, ...fault } = reportFault(thrown);
      if (resource.website === undefined) {
        turn.faults.push({ resource: `${name}: ${resource.id}`, code: isWaiting ? NEEDS_RESTART : code, message });
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
