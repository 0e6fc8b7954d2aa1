import { Fault } from "#base/fault.ts";
import type { DeploymentRecord } from "../store/deployments.ts";
import type { DeployContext } from "./context.ts";
import { openJournal } from "./journal.ts";
import { serves } from "./lines.ts";
import { move } from "./turn.ts";

/**
 * Ends a deployment that has not agreed on its instant yet. The process that works on it finds it moved and leaves it.
 * Throws Fault "deployment.too-late" when it switches, or has ended.
 */
export async function cancel(context: DeployContext, deployment: DeploymentRecord, caller: string): Promise<void> {
  const { id, state, website, previous } = deployment;
  const reason = `cancelled by ${caller}`;
  const turn = { context, deployment, journal: openJournal(context, id) };
  if (state === "received") return move(turn, { from: state, to: "failed" }, { reason, line: `failed: ${reason}; nothing changed` });
  if (state !== "staging" && state !== "staged")
    throw new Fault("deployment.too-late", `deployment ${id} is ${state}: there is nothing to cancel`, {
      next: `go back to the release before with: boxyard rollback ${website}`,
    });
  return move(turn, { from: state, to: "failed" }, { reason, line: `failed: ${reason}; nothing changed: ${serves(website, previous)}` });
}
