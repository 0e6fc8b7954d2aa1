import { Command } from "commander";
import { yardOf } from "../command.ts";

/** `boxyard down`: the yard is gone, also when it was only half there. */
export function downCommand(): Command {
  return new Command("down")
    .description("Remove a yard from this machine without trace: servers, volumes, network, access (as root)")
    .option("--json", "print the result as one JSON document")
    .addHelpText("after", "\nThe cloud daemon, its storage pool and the server image stay: other yards and the next bin/up use them.")
    .action(async (options: { readonly json?: boolean }, command: Command) => {
      const yard = yardOf(command);
      // Loaded here only: every other command starts without it.
      const wasThere = await (await import("../host/down.ts")).down(yard);
      if (options.json) console.log(JSON.stringify({ yard, removed: wasThere }));
      else console.log(wasThere ? `Yard ${yard} is gone.` : `There was no yard ${yard}.`);
    });
}
