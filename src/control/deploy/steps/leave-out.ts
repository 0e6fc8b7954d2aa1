import { reportFault } from "#base/fault.ts";
import * as deployments from "../../store/deployments.ts";
import { findWebsiteOnYard } from "../../store/website-on-yard.ts";
import { faultLine, names } from "../lines.ts";
import { absentBoxes, note, notesOf, type ServerFault, type Turn } from "../turn.ts";

/** Whether enough boxes that visitors are sent to take part without these servers. */
export function canDoWithout({ site, carriers }: Turn, faults: readonly ServerFault[]): boolean {
  const without = new Set(faults.map(({ server }) => server));
  const left = carriers.filter(({ name, role, fence }) => role === "box" && fence === null && !without.has(name));
  return left.length >= (site?.minBoxes ?? 1);
}

/**
 * The deployment goes on without these servers: boxes are fenced until they serve what the others serve; a shell server,
 * to which no visitor is sent, follows as soon as it can. `confirmFences` is to be called before anything is switched.
 */
export async function leaveOut(turn: Turn, faults: readonly ServerFault[]): Promise<void> {
  if (faults.length === 0) return;
  const { context, deployment } = turn;
  const carriers = new Map(turn.carriers.map((carrier) => [carrier.name, carrier]));
  const fences = faults
    .filter(({ server }) => carriers.get(server)?.role === "box")
    .map(({ server, fault }) => ({ server, reason: fault.message, deployment: deployment.id }));
  const added = await deployments.leaveOut(context.store, deployment.id, { notes: notesOf(turn, faults), fences });
  turn.carriers = turn.carriers.filter(({ name }) => !faults.some(({ server }) => server === name));
  for (const { server, fault } of faults) {
    const consequence = carriers.get(server)?.role === "box" ? "it is fenced until it has caught up" : "it follows as soon as it can";
    note(turn, `going on without ${server}, ${consequence}: ${faultLine(server, fault)}`, server);
  }
  await context.rotation.tell(added, fences);
}

/** Resolves when no visitor is sent to a box that has no part in the deployment. Throws Fault "rotation.unconfirmed". */
export async function confirmFences(turn: Turn): Promise<void> {
  const { context, deployment } = turn;
  if (absentBoxes(turn).length > 0) await context.rotation.confirm(deployment.cluster, context.signal);
}

/** Leaves out those that visitors are not sent to anyway; gives the faults that are left. */
export async function withoutFenced(turn: Turn, faults: readonly ServerFault[]): Promise<readonly ServerFault[]> {
  if (faults.length === 0) return faults;
  const site = await findWebsiteOnYard(turn.context.store, turn.deployment.website);
  const fenced = new Set(site?.carriers.filter(({ fence }) => fence !== null).map(({ name }) => name));
  await leaveOut(
    turn,
    faults.filter(({ server }) => fenced.has(server)),
  );
  return faults.filter(({ server }) => !fenced.has(server));
}

/** Visitors go through the other caches until these have let go of the old pages; says so when that cannot be had. */
export async function fenceCaches(turn: Turn, faults: readonly ServerFault[]): Promise<void> {
  const { context, deployment, site } = turn;
  if (site === null || faults.length === 0) return;
  const silent = faults.map(({ server }) => server);
  if (silent.length === site.caches.length) return note(turn, `warning: old pages may stand in ${names(silent)}: no cache confirms`);
  const fences = faults.map(({ server, fault }) => ({ server, reason: fault.message, deployment: deployment.id }));
  try {
    await context.rotation.fence(site.cluster, fences, context.signal);
    for (const { server, fault } of faults) note(turn, `${server} is fenced until it has caught up: ${faultLine(server, fault)}`, server);
  } catch (thrown) {
    if (context.signal.aborted) throw thrown;
    note(turn, `warning: old pages may stand in ${names(silent)}: ${reportFault(thrown).message}`);
  }
}
