import { Fault, isFault } from "#base/fault.ts";
import { type DeploymentRecord, findDeployment } from "../store/deployments.ts";
import type { DeployContext } from "./context.ts";
import { openJournal } from "./journal.ts";
import { serves } from "./lines.ts";
import { move } from "./turn.ts";

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

function cancelAsItStands(context: DeployContext, deployment: DeploymentRecord, caller: string): Promise<void> {
  const { id, state, website, previous } = deployment;
  const reason = `cancelled by ${caller}`;
  const turn = { context, deployment, journal: openJournal(context, id) };
  if (state === "received") return move(turn, { from: state, to: "failed" }, { reason, line: `failed: ${reason}; nothing changed` });
  if (state === "building" || state === "staging" || state === "staged")
    return move(turn, { from: state, to: "failed" }, { reason, line: `failed: ${reason}; nothing changed: ${serves(website, previous)}` });
  throw new Fault("deployment.too-late", `deployment ${id} is ${state}: there is nothing to cancel`, {
    next: `go back to the release before with: boxyard rollback ${website}`,
  });
}
