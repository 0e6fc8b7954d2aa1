import { isFault } from "#base/fault.ts";
import type { DeploymentState } from "#contract/deployment.ts";
import type { WebsiteId } from "#contract/names.ts";
import { type DeploymentRecord, readQueue } from "../store/deployments.ts";
import type { DeployContext } from "./context.ts";
import { short } from "./lines.ts";
import { planQueue } from "./queue.ts";
import { type FinalState, isBefore, isFinal } from "./states.ts";
import { begin } from "./steps/begin.ts";
import { build } from "./steps/build.ts";
import { letGoOfDeleted } from "./steps/hold.ts";
import { whatIsLive } from "./steps/live-now.ts";
import { stage } from "./steps/stage.ts";
import { agreeOnInstant, switchEverywhere } from "./steps/switch.ts";
import { update } from "./steps/update.ts";
import { verify } from "./steps/verify.ts";
import { move, openTurn, type Turn } from "./turn.ts";

/** Ends the deployments of a website that a newer push has overtaken, and brings the next one to its end; false when there is none. */
export async function runNext(context: DeployContext, website: WebsiteId): Promise<boolean> {
  const { open, newestLiveAt } = await readQueue(context.store, website);
  const { next, overtaken } = planQueue(open, newestLiveAt);
  const winner = open.at(-1);
  for (const deployment of overtaken) await supersede(context, deployment, winner);
  if (next === null) return false;
  await runUnlessCalledOff(context, next);
  return true;
}

/** Somebody else may end it at any time before it switches; there is nothing left to do then. */
async function runUnlessCalledOff(context: DeployContext, deployment: DeploymentRecord): Promise<void> {
  const callingOff = new AbortController();
  context.underWay.set(deployment.id, callingOff);
  try {
    const signal = AbortSignal.any([context.signal, callingOff.signal]);
    await runDeployment(await openTurn({ ...context, signal }, deployment));
  } catch (thrown) {
    if (!callingOff.signal.aborted && !isFault(thrown, "deployment.moved")) throw thrown;
  } finally {
    context.underWay.delete(deployment.id);
  }
}

/** What brings a deployment on from each state; every step ends with a move or throws, and may be repeated after a crash. */
const STEPS: Record<Exclude<DeploymentState, FinalState>, (turn: Turn) => Promise<void>> = {
  received: begin,
  building: build,
  staging: stage,
  staged: agreeOnInstant,
  switching: switchEverywhere,
  verifying: verify,
  updating: update,
};

async function runDeployment(turn: Turn): Promise<void> {
  for (let { state } = turn.deployment; !isFinal(state); { state } = turn.deployment) {
    if (turn.site === null && state !== "received") await abandon(turn, state);
    else await STEPS[state](turn);
  }
}

/** The website was deleted: its servers take it off by themselves, as their specs say. */
async function abandon(turn: Turn, from: Exclude<DeploymentState, FinalState | "received">): Promise<void> {
  const reason = `website ${turn.deployment.website} was deleted meanwhile`;
  const next = `${await whatIsLive(turn)}; the websites that there are: boxyard website list`;
  if (isBefore(from, "failed")) return move(turn, { from, to: "failed" }, { reason, line: `failed: ${reason}; ${next}` });
  await letGoOfDeleted(turn);
  return move(turn, { from, to: "rolled-back" }, { reason, line: `rolled back: ${reason}; ${next}` });
}

/** The one that goes on does not wait for long. */
const ANSWER_MS = 300;

async function supersede(context: DeployContext, deployment: DeploymentRecord, winner: DeploymentRecord | undefined): Promise<void> {
  const newer = winner === undefined || winner.id === deployment.id ? "" : ` (${short(winner.commit)})`;
  const reason = `a newer deployment${newer} took its place`;
  const next = newer === "" ? `boxyard deployment list ${deployment.website}` : `boxyard deployment watch ${winner?.id}`;
  const turn = await openTurn(context, deployment);
  const live = await whatIsLive(turn, ANSWER_MS);
  await move(turn, { from: "received", to: "superseded" }, { reason, line: `superseded: ${reason}; ${live}; see: ${next}` });
}
