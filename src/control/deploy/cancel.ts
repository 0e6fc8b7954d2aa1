import { Fault, isFault } from "#base/fault.ts";
import { type DeploymentRecord, findDeployment } from "../store/deployments.ts";
import type { DeployContext } from "./context.ts";
import { isBefore } from "./states.ts";
import { sameAgain, whatIsLive } from "./steps/live-now.ts";
import { move, openTurn } from "./turn.ts";

/** Whoever cancels is in a hurry: it may switch meanwhile. */
const ANSWER_MS = 300;

/**
 * Ends a deployment that has not agreed on its instant yet; false when there is none of this id. This process stops working
 * on it; another one finds it moved and leaves it. Throws Fault "deployment.too-late" when it switches, or has ended.
 */
export async function cancel(context: DeployContext, id: number, caller: string): Promise<boolean> {
  for (;;) {
    const deployment = await findDeployment(context.store, id);
    if (deployment === null) return false;
    try {
      await cancelAsItStands(context, deployment, caller);
      context.underWay.get(id)?.abort();
      return true;
    } catch (thrown) {
      // It went on meanwhile, which it does a few times at most.
      if (!isFault(thrown, "deployment.moved")) throw thrown;
    }
  }
}

async function cancelAsItStands(context: DeployContext, deployment: DeploymentRecord, caller: string): Promise<void> {
  const { id, state, website } = deployment;
  if (isBefore(state, "failed")) {
    const reason = `cancelled by ${caller}`;
    const turn = await openTurn(context, deployment);
    const live = await whatIsLive(turn, ANSWER_MS);
    const line = `failed: ${reason}; nothing changed; ${live}; when it is wanted after all: ${sameAgain(deployment)}`;
    return move(turn, { from: state, to: "failed" }, { reason, line });
  }
  throw new Fault("deployment.too-late", `deployment ${id} is ${state}: there is nothing to cancel`, {
    next: `go back to the release before with: boxyard rollback ${website}`,
  });
}
