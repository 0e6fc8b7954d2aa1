import { findCommit } from "#contract/actions/git.ts";
import { KEPT_RELEASES } from "../../plan/website.ts";
import { listGoodReleases } from "../../store/deployments.ts";
import { listServerRows } from "../../store/servers.ts";
import { askAll } from "../ask.ts";
import { names, serves, short } from "../lines.ts";
import { move, type Turn } from "../turn.ts";
import { again, tellWhatIsLive } from "./live-now.ts";

/** `received → building, staging`: fixes who takes part and what was live before, or ends it where there is nothing to deploy to. */
export async function begin(turn: Turn): Promise<void> {
  const { site, carriers, deployment } = turn;
  const obstacle = obstacleOf(turn);
  if (site === null || obstacle !== null) {
    const reason = obstacle ?? `website ${deployment.website} was deleted`;
    await tellWhatIsLive(turn);
    const next = site === null ? "the websites that there are: boxyard website list" : again(turn);
    return move(turn, { from: "received", to: "failed" }, { reason, line: `failed: ${reason}; nothing changed; ${next}` });
  }
  // A fenced server that can be heard follows, so that it may return; of one that cannot, nothing is expected.
  const registry = turn.context.fabric.registry();
  const taking = carriers.filter(({ name, fence }) => fence === null || registry.has(name));
  const absent = carriers.filter((carrier) => !taking.includes(carrier));
  const servers = [
    ...taking.map(({ name, role }) => ({ name, role, error: null })),
    ...absent.map(({ name, role, fence }) => ({ name, role, error: `fenced: ${fence}`, isLeftOut: true })),
  ];
  turn.carriers = taking;
  if (await hasToBeBuilt(turn)) {
    const line = `building ${short(deployment.commit)} (${serves(site.id, site.release)})`;
    return move(turn, { from: "received", to: "building" }, { previous: site.release, servers, line });
  }
  const line = `staging ${short(deployment.commit)} on ${names(taking.map((carrier) => carrier.name))} (${serves(site.id, site.release)})`;
  return move(turn, { from: "received", to: "staging" }, { previous: site.release, servers, line });
}

/**
 * Known of a push, whose build the git server keeps until it has ended. What was built of an older release may be gone when one
 * goes back to it, and is built again.
 */
async function hasToBeBuilt({ context, deployment }: Turn): Promise<boolean> {
  const { website, commit: revision, kind, needsBuild } = deployment;
  if (needsBuild || kind === "push") return needsBuild;
  const kept = (await listGoodReleases(context.store, website)).slice(0, KEPT_RELEASES);
  if (kept.includes(revision)) return false;
  const servers = (await listServerRows(context.store)).filter(({ roles, state }) => roles.includes("git") && state === "present");
  const answers = await askAll(context, findCommit, { servers: servers.map(({ name }) => name), input: { website, revision } });
  return answers.some(({ output }) => output?.needsBuild === true);
}

function obstacleOf({ site, carriers }: Turn): string | null {
  if (site === null || carriers.some((carrier) => carrier.role === "box")) return null;
  return `cluster ${site.cluster} has no boxes: add one with: boxyard cluster scale ${site.cluster} --boxes 2`;
}
