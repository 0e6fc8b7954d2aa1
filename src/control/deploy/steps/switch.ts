import { microsOf, timestampOf } from "#base/clock.ts";
import { isFault } from "#base/fault.ts";
import { switchTo } from "#contract/actions/release.ts";
import type { ServerName } from "#contract/names.ts";
import type { Answer } from "#fabric/fabric.ts";
import { decisionOf, noteServers, noteSwitchInstant, type ServerNote } from "../../store/deployments.ts";
import { findWebsiteOnYard } from "../../store/website-on-yard.ts";
import { askAll } from "../ask.ts";
import { names, short, timeOfDay } from "../lines.ts";
import { faultsOf, lookAgain, move, note, type Turn, withoutRemoved } from "../turn.ts";
import { hold } from "./hold.ts";
import { answerTimeMs, instantFrom, waitOutEarlierSwitch } from "./instant.ts";
import { withoutFenced } from "./leave-out.ts";
import { failStaging, stageEverywhere, stageOrLeaveOut, whyUnconfirmed } from "./stage.ts";
import { decideAndTurnBack, turnBack } from "./turn-back.ts";

/** `staged → switching`: agrees on the instant; from here on the deployment goes live or is rolled back. */
export async function agreeOnInstant(turn: Turn): Promise<void> {
  // A process that died may have fenced a box and not have heard of it.
  const unconfirmed = await whyUnconfirmed(turn);
  if (unconfirmed !== null) return failStaging(turn, "staged", { reason: `cannot switch: ${unconfirmed}`, notes: [] });
  for (;;) {
    const newcomers = await moveToSwitching(turn);
    if (newcomers.length === 0) return;
    const outcome = await admit(turn, newcomers);
    if ("reason" in outcome) return failStaging(turn, "staged", outcome);
  }
}

/** Gives the boxes that visitors are sent to since it began, and that must stage the release first. */
async function moveToSwitching(turn: Turn): Promise<readonly ServerName[]> {
  const switchAtMicros = instantFrom(turn);
  const line = `all servers are ready: switching at ${timeOfDay(timestampOf(switchAtMicros))}`;
  try {
    await move(turn, { from: "staged", to: "switching" }, { switchAtMicros, line });
    turn.isFreshSwitch = true;
    return [];
  } catch (thrown) {
    if (!isFault(thrown, "deployment.incomplete")) throw thrown;
    return thrown.details["boxes"] as readonly ServerName[];
  }
}

async function admit(turn: Turn, boxes: readonly ServerName[]): Promise<Awaited<ReturnType<typeof stageOrLeaveOut>>> {
  const { context, deployment } = turn;
  const site = await findWebsiteOnYard(context.store, deployment.website);
  const newcomers = (site?.carriers ?? []).filter(({ name }) => boxes.includes(name));
  const notes = newcomers.map(({ name, role }) => ({ name, role, error: null }));
  await noteServers(context.store, deployment.id, notes);
  turn.carriers = [...turn.carriers.filter(({ name }) => !boxes.includes(name)), ...newcomers];
  note(turn, `${names(boxes)} gets visitors since a moment ago: it stages the release, too`);
  return stageOrLeaveOut(turn);
}

/** `switching → verifying`: all switch at the instant; one that refuses or is silent turns all back. */
export async function switchEverywhere(turn: Turn): Promise<void> {
  const { deployment } = turn;
  // A cache may have returned while the release was staged.
  await lookAgain(turn);
  if (!turn.isFreshSwitch) await waitOutEarlierSwitch(turn);
  if (deployment.isTurningBack) return turnBack(turn);
  const unstaged = turn.isFreshSwitch ? [] : await withoutFenced(turn, (await stageEverywhere(turn)).faults);
  if (unstaged.length > 0) return decideAndTurnBack(turn, unstaged, `cannot go on with the switch to ${short(deployment.commit)}`);
  const unheld = await hold(turn);
  if (unheld.length > 0) return decideAndTurnBack(turn, unheld, "cannot let visitors wait");

  const atMicros = await ensureInstantAhead(turn);
  const leadMs = turn.context.lead.ms;
  const answers = await askToSwitch(turn, atMicros);
  const faults = await withoutFenced(turn, await withoutRemoved(turn, faultsOf(answers)));
  if (faults.length > 0) return decideAndTurnBack(turn, faults, `cannot switch to ${short(deployment.commit)}`);
  const switched = switchedNotes(turn, answers);
  const moments = switched.map((one) => one.switchedAt).sort();
  if (turn.isFreshSwitch) turn.context.lead.learn(Math.max(...answers.map((one) => neededMs(one, { atMicros, leadMs }))));
  const release = { website: deployment.website, commit: deployment.commit };
  const moved = { release, servers: switched, line: switchedLine(moments) };
  if (deployment.holdSeconds === null) return move(turn, { from: "switching", to: "verifying" }, moved);
  const waiting = `; visitors wait, each for ${deployment.holdSeconds} s at most`;
  return move(turn, { from: "switching", to: "updating" }, { ...moved, line: `${moved.line}${waiting}` });
}

// Persisting the move may have taken longer than the lead; servers would rightly call such a request too late.
async function ensureInstantAhead(turn: Turn): Promise<number> {
  const { context, deployment } = turn;
  const agreed = deployment.switchAtMicros;
  if (turn.isFreshSwitch && agreed !== null && agreed - context.clock.nowMicros() > (context.lead.ms * 1000) / 2) return agreed;
  const atMicros = instantFrom(turn);
  await noteSwitchInstant(context.store, deployment.id, atMicros);
  turn.deployment = { ...deployment, switchAtMicros: atMicros };
  return atMicros;
}

type Switched = Answer<{ switchedAt: string; waitedMs: number | null }>;

/** How much of the lead had passed when the server was ready; more than all of it when it was late. */
function neededMs({ output }: Switched, { atMicros, leadMs }: { readonly atMicros: number; readonly leadMs: number }): number {
  if (output === undefined || output.waitedMs === null) return 0;
  return output.waitedMs > 0 ? leadMs - output.waitedMs : leadMs + (microsOf(output.switchedAt) - atMicros) / 1_000;
}

function askToSwitch(turn: Turn, atMicros: number): Promise<Switched[]> {
  const { context, deployment, carriers } = turn;
  const { website, commit: release, id } = deployment;
  const input = { website, release, decision: decisionOf(id), at: timestampOf(atMicros), latestMs: context.timing.latestMs };
  const servers = carriers.map((carrier) => carrier.name);
  return askAll(context, switchTo, { servers, input, timeoutMs: answerTimeMs(turn, atMicros) });
}

function switchedNotes({ carriers, context }: Turn, answers: readonly Switched[]): (ServerNote & { switchedAt: string })[] {
  const roles = new Map(carriers.map(({ name, role }) => [name, role]));
  return answers.flatMap(({ server, output }) => {
    const role = roles.get(server);
    if (output === undefined || role === undefined) return [];
    return [{ name: server, role, switchedAt: output.switchedAt, clockOffsetMs: context.fabric.clockOffsetMs(server), error: null }];
  });
}

function switchedLine(moments: readonly string[]): string {
  const [first, last] = [moments.at(0), moments.at(-1)];
  if (first === undefined || last === undefined) return "switched";
  return `switched at ${timeOfDay(last)} (spread ${((microsOf(last) - microsOf(first)) / 1000).toFixed(1)} ms)`;
}
