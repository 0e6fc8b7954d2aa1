import { names, serves, short } from "../lines.ts";
import { move, type Turn } from "../turn.ts";

/** `received → building, staging`: fixes who takes part and what was live before, or ends it where there is nothing to deploy to. */
export async function begin(turn: Turn): Promise<void> {
  const { site, carriers, deployment } = turn;
  const obstacle = obstacleOf(turn);
  if (site === null || obstacle !== null) {
    const reason = obstacle ?? `website ${deployment.website} was deleted`;
    return move(turn, { from: "received", to: "failed" }, { reason, line: `failed: ${reason}; nothing changed` });
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
  if (deployment.needsBuild) {
    const line = `building ${short(deployment.commit)} (${serves(site.id, site.release)})`;
    return move(turn, { from: "received", to: "building" }, { previous: site.release, servers, line });
  }
  const line = `staging ${short(deployment.commit)} on ${names(taking.map((carrier) => carrier.name))} (${serves(site.id, site.release)})`;
  return move(turn, { from: "received", to: "staging" }, { previous: site.release, servers, line });
}

function obstacleOf({ site, carriers }: Turn): string | null {
  if (site === null || carriers.some((carrier) => carrier.role === "box")) return null;
  return `cluster ${site.cluster} has no boxes: add one with: boxyard cluster scale ${site.cluster} --boxes 2`;
}
