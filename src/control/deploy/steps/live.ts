import { duration, names } from "../lines.ts";
import { absentBoxes, move, type Turn } from "../turn.ts";

/** `verifying, updating → live`: everybody is told, and pages of other releases are banned some more times. */
export async function goLive(turn: Turn, from: "verifying" | "updating"): Promise<void> {
  const { context, deployment, site } = turn;
  const { website, commit, previous, acceptedAt } = deployment;
  const where = site?.domain === null || site === null ? website : `https://${site.domain}`;
  const undo = previous === null || previous === commit ? "" : `; undo: boxyard rollback ${website}`;
  const line = `live: ${where} (${duration(Date.now() - Date.parse(acceptedAt))})${without(turn)}${undo}`;
  if (from === "verifying") await move(turn, { from, to: "live" }, { line });
  else await move(turn, { from, to: "live" }, { line });
  context.sweeper.sweep(site, commit);
}

function without(turn: Turn): string {
  const absent = absentBoxes(turn).map(({ name }) => name);
  return absent.length === 0 ? "" : `; without ${names(absent)}, which gets no visitors until it has caught up`;
}
