import { Command } from "commander";
import { chooseDaemon, ensureDaemon, isDaemonInstalled } from "#cloud/incus/host.ts";
import { removeYard } from "#cloud/incus/yard.ts";
import { yardOf } from "../command.ts";
import { forgetSsh } from "../host/ssh.ts";
import { findYardState, removeYardState } from "../host/yard-state.ts";

/** `boxyard down`: the yard is gone, also when it was only half there. */
export function downCommand(): Command {
  return new Command("down")
    .description("Remove a yard from this machine without trace: servers, volumes, network, access (as root)")
    .option("--json", "print the result as one JSON document")
    .addHelpText("after", "\nThe cloud daemon, its storage pool and the server image stay: other yards and the next bin/up use them.")
    .action(async (options: { readonly json?: boolean }, command: Command) => {
      const yard = yardOf(command);
      const wasThere = await down(yard);
      if (options.json) console.log(JSON.stringify({ yard, removed: wasThere }));
      else console.log(wasThere ? `Yard ${yard} is gone.` : `There was no yard ${yard}.`);
    });
}

async function down(yard: string): Promise<boolean> {
  const wasThere = (await findYardState(yard).catch(() => ({}))) !== null;
  const daemon = await chooseDaemon();
  // A machine that never had the daemon must not get one in order to remove nothing.
  if (await isDaemonInstalled(daemon)) await removeYard(await ensureDaemon(daemon), daemon, yard);
  await forgetSsh(yard);
  await removeYardState(yard);
  return wasThere;
}
