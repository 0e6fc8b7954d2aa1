import { chooseDaemon, ensureDaemon, isDaemonInstalled } from "#cloud/incus/host.ts";
import { removeYard } from "#cloud/incus/yard.ts";
import { forgetSsh } from "./ssh.ts";
import { findYardState, removeYardState } from "./yard-state.ts";

/** Removes a yard, also one that is only half there; gives whether it was. */
export async function down(yard: string): Promise<boolean> {
  const wasThere = (await findYardState(yard).catch(() => ({}))) !== null;
  const daemon = await chooseDaemon();
  // A machine that never had the daemon must not get one in order to remove nothing.
  if (await isDaemonInstalled(daemon)) await removeYard(await ensureDaemon(daemon), daemon, yard);
  await forgetSsh(yard);
  await removeYardState(yard);
  return wasThere;
}
