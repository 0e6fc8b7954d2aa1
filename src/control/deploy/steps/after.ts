import { reportFault } from "#base/fault.ts";
import { markAfterEnded } from "../../store/deployments.ts";
import { faultLine } from "../lines.ts";
import { note, type Turn } from "../turn.ts";
import { runHook, shellFor } from "./run-hook.ts";

/**
 * Runs `hooks.after` of a deployment that is live, beside all that comes next: it can only warn, so that nobody waits for
 * it. It is due until it has ended, and a process that starts anew goes on with it.
 */
export function beginAfter(turn: Turn): void {
  const { context, deployment } = turn;
  if (context.afterwards.has(deployment.id)) return;
  const running = runAfter(turn)
    .then(() => markAfterEnded(context.store, deployment.id))
    .catch((thrown: unknown) => {
      if (!context.signal.aborted) context.log.warn({ deployment: deployment.id, fault: reportFault(thrown) }, "hooks.after interrupted");
    })
    .finally(() => context.afterwards.delete(deployment.id));
  context.afterwards.set(deployment.id, running);
}

async function runAfter(turn: Turn): Promise<void> {
  const shell = shellFor(turn, "after");
  const fault = shell === null ? null : await runHook(turn, "after", shell);
  if (shell !== null && fault !== null) note(turn, `warning: ${faultLine(shell, fault)}`, shell);
}
