import { timestampOf } from "#base/clock.ts";
import { reportFault } from "#base/fault.ts";
import { stage, switchTo, withdraw } from "#contract/actions/release.ts";
import type { ServerName } from "#contract/names.ts";
import type { Answer } from "#fabric/fabric.ts";
import { decideTurningBack, decisionOf, noteServers } from "../../store/deployments.ts";
import { askAll } from "../ask.ts";
import { faultLines, names, short } from "../lines.ts";
import { isBefore } from "../states.ts";
import { faultsOf, move, note, notesOf, type ServerFault, type Turn, withoutRemoved } from "../turn.ts";
import { banPages } from "./ban.ts";
import { hold, letGo } from "./hold.ts";
import { answerTimeMs, instantFrom } from "./instant.ts";
import { confirmFences, fenceCaches, leaveOut } from "./leave-out.ts";
import { again, tellWhatIsLive } from "./live-now.ts";
import { restoreSnapshot } from "./snapshot.ts";

const ATTEMPTS = 4;

/** Decides, persists and carries out that all servers go back to the release before, because of these faults. */
export async function decideAndTurnBack(turn: Turn, faults: readonly ServerFault[], what: string): Promise<void> {
  const { context, deployment } = turn;
  const reason = `${what}: ${faultLines(faults)}`;
  await decideTurningBack(context.store, deployment.id, { reason, release: deployment.previous });
  turn.deployment = { ...deployment, isTurningBack: true, reason };
  context.onRowsChanged();
  await noteServers(context.store, deployment.id, notesOf(turn, faults));
  note(turn, `${reason}; switching back`);
  return turnBack(turn);
}

/** `switching, verifying → rolled-back`: a server that cannot be told goes back by itself, because its spec says so. */
export async function turnBack(turn: Turn): Promise<void> {
  const { deployment } = turn;
  const from = deployment.state;
  if (!isBefore(from, "rolled-back")) throw new Error(`a deployment that is ${from} cannot be rolled back`);
  const behind = await switchBackEverywhere(turn);
  const areFenced = await fenceThose(turn, behind);
  // The hook may have taken long, and visitors must wait for as long as this may take; nothing is left to do for those who do not.
  if (deployment.hasSnapshot) await hold(turn);
  const unrestored = await restoreSnapshot(turn);
  await fenceCaches(turn, await banPages(turn, deployment.previous));
  await letGo(turn);
  turn.context.sweeper.sweep(turn.site, deployment.previous);
  const reason = deployment.reason ?? "it was decided to switch back";
  const now =
    deployment.previous === null ? `${deployment.website} has no release` : `${deployment.website} serves ${short(deployment.previous)}`;
  const consequence = areFenced ? "gets no visitors until it has gone back" : "goes back when its agent next converges";
  const later = behind.length === 0 ? "" : `; ${names(behind.map(({ server }) => server))} did not confirm and ${consequence}`;
  await tellWhatIsLive(turn);
  const kept = unrestored === null ? "" : `; ${unrestored}`;
  const line = `rolled back: ${reason}; ${now}${later}${kept}; ${again(turn)}`;
  return move(turn, { from, to: "rolled-back" }, { reason, line });
}

/** Gives the servers that have not confirmed after some attempts, and why. */
async function switchBackEverywhere(turn: Turn): Promise<readonly ServerFault[]> {
  const { context } = turn;
  let behind = turn.carriers.map((carrier) => carrier.name);
  for (let attempt = 1; ; attempt++) {
    const given = faultsOf(await askToGoBack(turn, behind));
    await stageAgain(turn, given);
    const faults = await withoutRemoved(turn, given);
    if (faults.length === 0 || attempt === ATTEMPTS) return faults;
    behind = faults.map((one) => one.server);
    await context.clock.sleep(context.timing.againMs, context.signal);
  }
}

/** Visitors are not to meet two releases: who did not confirm gets none, while there are others that did. */
async function fenceThose(turn: Turn, behind: readonly ServerFault[]): Promise<boolean> {
  const isLeft = turn.carriers.some(
    ({ name, role, fence }) => role === "box" && fence === null && !behind.some(({ server }) => server === name),
  );
  if (behind.length === 0 || !isLeft) return false;
  await leaveOut(turn, behind);
  try {
    await confirmFences(turn);
    return true;
  } catch (thrown) {
    if (turn.context.signal.aborted) throw thrown;
    note(turn, `warning: ${reportFault(thrown).message}`);
    return false;
  }
}

function askToGoBack(turn: Turn, servers: readonly ServerName[]): Promise<Answer<unknown>[]> {
  const { context, deployment } = turn;
  const { website, previous, id } = deployment;
  const decision = decisionOf(id, true);
  const atMicros = instantFrom(turn);
  const timeoutMs = answerTimeMs(turn, atMicros);
  if (previous === null) return askAll(context, withdraw, { servers, input: { website, decision }, timeoutMs });
  const input = { website, release: previous, decision, at: timestampOf(atMicros), latestMs: context.timing.latestMs };
  return askAll(context, switchTo, { servers, input, timeoutMs });
}

// A server that joined or was cleaned meanwhile may lack the release before.
async function stageAgain({ context, deployment }: Turn, faults: readonly ServerFault[]): Promise<void> {
  const { website, previous } = deployment;
  const servers = faults.filter((one) => one.fault.code === "release.not-staged").map((one) => one.server);
  if (previous !== null && servers.length > 0) await askAll(context, stage, { servers, input: { website, release: previous } });
}
