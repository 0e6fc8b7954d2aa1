import { microsOf } from "#base/clock.ts";
import { deploymentServers } from "../../store/deployments.ts";
import { duration, names, short } from "../lines.ts";
import type { Before } from "../states.ts";
import { absentBoxes, move, type Turn } from "../turn.ts";
import { beginAfter } from "./after.ts";

/** `verifying, updating → live`: everybody is told, pages of other releases are banned some more times, and `hooks.after` begins. */
export async function goLive(turn: Turn, from: Before<"live">): Promise<void> {
  const { context, deployment, site } = turn;
  const { website, commit, previous, acceptedAt } = deployment;
  const where = site?.domain === null || site === null ? website : `https://${site.domain}`;
  const undo = previous === null || previous === commit ? "" : `; undo: boxyard rollback ${website}`;
  const after = duration((context.clock.nowMicros() - microsOf(acceptedAt)) / 1_000);
  const isAfterDue = deployment.hooks.includes("after");
  const next = isAfterDue ? `; hooks.after runs now: boxyard deployment watch ${deployment.id}` : "";
  const line = `live: ${where} serves ${short(commit)} after ${after}${await apart(turn)}${without(turn)}${undo}${next}`;
  await move(turn, { from, to: "live" }, { line, isAfterDue });
  context.sweeper.sweep(site, commit);
  if (isAfterDue) beginAfter(turn);
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
