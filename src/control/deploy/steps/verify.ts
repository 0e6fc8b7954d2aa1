import { probe } from "#contract/actions/release.ts";
import type { ServerName } from "#contract/names.ts";
import type { Answer } from "#fabric/fabric.ts";
import { askAll } from "../ask.ts";
import { names, short } from "../lines.ts";
import { faultsOf, move, note, type ServerFault, type Turn, withoutRemoved } from "../turn.ts";
import { banPages } from "./ban.ts";
import { fenceCaches, withoutFenced } from "./leave-out.ts";
import { goLive } from "./live.ts";
import { decideAndTurnBack, turnBack } from "./turn-back.ts";

/** `verifying → updating, live`: every box serves the release without an error of its own; else all go back. */
export async function verify(turn: Turn): Promise<void> {
  const { hooks, commit, isTurningBack } = turn.deployment;
  if (isTurningBack) return turnBack(turn);
  const faults = await verifyAndBan(turn);
  if (faults.length > 0) return decideAndTurnBack(turn, faults, `cannot verify ${short(commit)}`);
  if (!hooks.includes("update")) return goLive(turn, "verifying");
  return move(turn, { from: "verifying", to: "updating" }, { line: "running hooks.update" });
}

/** Gives the boxes that do not serve the release; when all do, no page of another is left in a cache that visitors are sent to. */
export async function verifyAndBan(turn: Turn): Promise<readonly ServerFault[]> {
  const { commit } = turn.deployment;
  const [faults] = await Promise.all([verifyBoxes(turn), banPages(turn, commit)]);
  // Again, because a page that a box began to make before the switch may have been stored after the first ban.
  if (faults.length === 0) await fenceCaches(turn, await banPages(turn, commit));
  return faults;
}

/** Asks every box until it serves the release; gives those that do not when the time is over. */
async function verifyBoxes(turn: Turn): Promise<readonly ServerFault[]> {
  const { context, deployment, carriers } = turn;
  const deadlineMs = context.clock.elapsedMs() + context.timing.verifyMs;
  const boxes = carriers.filter((carrier) => carrier.role === "box").map((carrier) => carrier.name);
  for (let waiting = boxes; ; ) {
    const faults = await probeOnce(turn, waiting);
    if (faults.length === 0) {
      note(turn, `verified on ${names(boxes)}: they serve ${short(deployment.commit)}`);
      return [];
    }
    if (context.clock.elapsedMs() > deadlineMs) return withoutFenced(turn, await withoutRemoved(turn, faults));
    waiting = faults.map((one) => one.server);
    await context.clock.sleep(context.timing.againMs, context.signal);
  }
}

async function probeOnce(turn: Turn, boxes: readonly ServerName[]): Promise<ServerFault[]> {
  const { context, deployment } = turn;
  const answers = await askAll(context, probe, { servers: boxes, input: { website: deployment.website, path: "/" } });
  const silent = faultsOf(answers);
  const wrong = answers.flatMap((answer) => mismatch(answer, deployment.commit));
  return [...silent, ...wrong];
}

type ProbeAnswer = Answer<{ release: string | null; status: number }>;

function mismatch({ server, output }: ProbeAnswer, want: string): ServerFault[] {
  if (output === undefined || (output.release === want && output.status < 500)) return [];
  const served = output.release === null ? "no release" : short(output.release);
  const message = output.release === want ? `its front page answers ${output.status}` : `it serves ${served}, not ${short(want)}`;
  const next = output.release === want ? "look at the website's error log with: boxyard logs" : null;
  return [{ server, fault: { code: "deployment.not-verified", message, next } }];
}
