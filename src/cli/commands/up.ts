import { Command, Option } from "commander";
import { ControlReplicas } from "#contract/control-config.ts";
import { yardOf } from "../command.ts";
import type { UpOptions } from "../host/up.ts";

/** `boxyard up`: a whole yard with an example website, from whatever is there. */
export function upCommand(): Command {
  return (
    new Command("up")
      .description("Set up a yard on this machine, with an example website; run again, it only checks (as root)")
      .option("--subnet <cidr>", "the yard's network, for example 10.88.0.0/24; a free 10.77.N.0/24 by default")
      .addOption(
        new Option("--control-replicas <n>", "control servers: of 3 any one may fail; a yard goes from 1 to 3, not back")
          .choices(["1", "3"])
          .argParser((given) => ControlReplicas.parse(Number(given))),
      )
      .option("--bare", "without the example cluster and website")
      .option("--json", "print the result as one JSON document")
      .addHelpText(
        "after",
        "\nExamples:\n  bin/up\n  bin/up --yard try --subnet 10.88.0.0/24\n  bin/up --control-replicas 3\n\nRemove a yard again: bin/down --yard NAME",
      )
      // Loaded here only: every other command starts without it.
      .action(async (options: UpOptions, command: Command) => (await import("../host/up.ts")).up(yardOf(command), options))
  );
}
