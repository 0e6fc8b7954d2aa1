import { timestampOf } from "#base/clock.ts";
import { reportFault } from "#base/fault.ts";
import { holdRequests, letGo as letGoAction } from "#contract/actions/cache.ts";
import type { ServerName, WebsiteId } from "#contract/names.ts";
import { listServerRows } from "../../store/servers.ts";
import { askAll } from "../ask.ts";
import type { DeployContext } from "../context.ts";
import { faultLines, names } from "../lines.ts";
import { faultsOf, lookAgain, note, type ServerFault, type Turn } from "../turn.ts";

const ATTEMPTS = 4;

/**
 * From now on visitors wait at the caches instead of being sent to boxes; a cache that cannot be told is taken out of rotation
 * when another was. Gives those that visitors are still sent through. Nothing to do unless the deployment is held. The
 * website's rows are looked at again: a domain that it has since a moment ago is held, too.
 */
export async function hold(turn: Turn): Promise<readonly ServerFault[]> {
  const { context, deployment } = turn;
  const { website, holdSeconds: seconds } = deployment;
  if (seconds === null) return [];
  await lookAgain(turn);
  const { site } = turn;
  // Its website was deleted: nobody is to wait for it any more.
  if (site === null) return [];
  // Should all of control be gone for so long, visitors are let go.
  const until = timestampOf(context.clock.nowMicros() + context.timing.holdMs * 1_000);
  const input = { website, domains: [...site.domains], seconds, until };
  const faults = faultsOf(await askAll(context, holdRequests, { servers: site.caches, input }));
  if (faults.length === site.caches.length) return faults;
  if (faults.length === 0) return [];
  try {
    const fences = faults.map(({ server, fault }) => ({ server, reason: fault.message, deployment: deployment.id }));
    await context.rotation.fence(site.cluster, fences, context.signal);
    return [];
  } catch (thrown) {
    if (context.signal.aborted) throw thrown;
    return faults.map(({ server }) => ({ server, fault: reportFault(thrown) }));
  }
}

/** For work that may take long, to be called again and again meanwhile: visitors go on waiting, also at a cache that is new. */
export function keepHolding(turn: Turn): () => Promise<void> {
  const { clock, timing } = turn.context;
  let heldAtMs = clock.elapsedMs();
  return async () => {
    if (clock.elapsedMs() - heldAtMs < timing.holdAgainMs) return;
    await hold(turn);
    heldAtMs = clock.elapsedMs();
  };
}

/** The website was deleted while its visitors waited: whoever has its domains next is not to find them held. */
export async function letGoOfDeleted({ context, deployment }: Pick<Turn, "context" | "deployment">): Promise<void> {
  if (deployment.holdSeconds === null) return;
  const { website, cluster } = deployment;
  const servers = await listServerRows(context.store);
  const caches = servers.filter((server) => server.cluster === cluster && server.state === "present" && server.roles.includes("cache"));
  await letGoAt(
    context,
    website,
    caches.map(({ name }) => name),
  );
}

/** Visitors who wait are sent to boxes. A cache that does not hear it lets them go when the hold is over. */
export async function letGo(turn: Turn): Promise<void> {
  const { context, deployment, site } = turn;
  if (deployment.holdSeconds === null) return;
  if (site === null) return letGoOfDeleted(turn);
  const faults = await letGoAt(context, deployment.website, site.caches);
  if (faults.length === 0) return note(turn, "visitors who waited go on");
  note(turn, `warning: visitors may still wait at ${names(faults.map(({ server }) => server))}: ${faultLines(faults)}`);
}

/** Gives the caches that have not confirmed after some attempts. */
async function letGoAt(context: DeployContext, website: WebsiteId, caches: readonly ServerName[]): Promise<readonly ServerFault[]> {
  let waiting = caches;
  for (let attempt = 1; ; attempt++) {
    const faults = faultsOf(await askAll(context, letGoAction, { servers: waiting, input: { website } }));
    if (faults.length === 0 || attempt === ATTEMPTS) return faults;
    waiting = faults.map(({ server }) => server);
    await context.clock.sleep(context.timing.againMs, context.signal);
  }
}
