import { microsOf } from "#base/clock.ts";
import { deploymentServers } from "../../store/deployments.ts";
import { duration, names, short } from "../lines.ts";
import { absentBoxes, move, type Turn } from "../turn.ts";

/** `verifying, updating → live`: everybody is told, and pages of other releases are banned some more times. */
export async function goLive(turn: Turn, from: "verifying" | "updating"): Promise<void> {
  const { context, deployment, site } = turn;
  const { website, commit, previous, acceptedAt } = deployment;
  const where = site?.domain === null || site === null ? website : `https://${site.domain}`;
  const undo = previous === null || previous === commit ? "" : `; undo: boxyard rollback ${website}`;
  const after = duration(Date.now() - Date.parse(acceptedAt));
  const line = `live: ${where} serves ${short(commit)} after ${after}${await apart(turn)}${without(turn)}${undo}`;
  if (from === "verifying") await move(turn, { from, to: "live" }, { line });
  else await move(turn, { from, to: "live" }, { line });
  context.sweeper.sweep(site, commit);
}

/** How far the switches of the servers lie from each other. */
async function apart({ context, deployment }: Turn): Promise<string> {
  const servers = await deploymentServers(context.store, deployment.id);
  const moments = servers.flatMap(({ switchedAt }) => (switchedAt === null ? [] : [microsOf(switchedAt)]));
  if (moments.length < 2) return "";
  return ` (switches ${((Math.max(...moments) - Math.min(...moments)) / 1000).toFixed(1)} ms apart)`;
}

function without(turn: Turn): string {
  const absent = absentBoxes(turn).map(({ name }) => name);
  return absent.length === 0 ? "" : `; without ${names(absent)}, which gets no visitors until it has caught up`;
}
