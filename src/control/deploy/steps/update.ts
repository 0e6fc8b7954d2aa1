import { short } from "../lines.ts";
import { lookAgain, type ServerFault, type Turn } from "../turn.ts";
import { hold, letGo } from "./hold.ts";
import { goLive } from "./live.ts";
import { runHook, shellFor } from "./run-hook.ts";
import { takeSnapshot } from "./snapshot.ts";
import { decideAndTurnBack, turnBack } from "./turn-back.ts";
import { verifyAndBan } from "./verify.ts";

/**
 * `updating → live`: the release's `hooks.update` runs once, on the shell server; when it fails all go back. While visitors wait
 * the release is verified only after that: before, it may have no database that it understands. Ends without a move when the
 * website was deleted meanwhile.
 */
export async function update(turn: Turn): Promise<void> {
  const { deployment } = turn;
  if (deployment.isTurningBack) return turnBack(turn);
  const isHeld = deployment.holdSeconds !== null;
  // A process that died may have left it to its end.
  const unheld = await hold(turn);
  if (unheld.length > 0) return decideAndTurnBack(turn, unheld, "cannot let visitors wait");
  const fault = await updateOnce(turn);
  // Servers that have taken a deleted website off know nothing of its hooks.
  if (fault !== null) await lookAgain(turn);
  if (turn.site === null) return;
  if (fault !== null) return decideAndTurnBack(turn, [fault], "cannot update");
  const unverified = isHeld ? await verifyAndBan(turn) : [];
  if (unverified.length > 0) return decideAndTurnBack(turn, unverified, `cannot verify ${short(deployment.commit)}`);
  await letGo(turn);
  return goLive(turn, "updating");
}

async function updateOnce(turn: Turn): Promise<ServerFault | null> {
  const shell = shellFor(turn, "update");
  if (shell === null) return null;
  const unkept = await takeSnapshot(turn);
  if (unkept !== null) return unkept;
  // That may have taken long, and visitors must wait for as long as the hook may take.
  const [unheld] = await hold(turn);
  if (unheld !== undefined) return unheld;
  const fault = await runHook(turn, "update", shell);
  return fault === null ? null : { server: shell, fault };
}
