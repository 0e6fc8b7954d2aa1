/** The CLI: `bin/boxyard`. */
import { readFileSync } from "node:fs";
import { Command, Option } from "commander";
import { isFault, renderFault } from "#base/fault.ts";
import { actionsCommand } from "./commands/actions.ts";
import { auditCommand } from "./commands/audit.ts";
import { clusterCommand } from "./commands/cluster.ts";
import { deployCommands, deploymentCommand } from "./commands/deployment.ts";
import { doCommand } from "./commands/do.ts";
import { domainCommand } from "./commands/domain.ts";
import { downCommand } from "./commands/down.ts";
import { eventsCommand } from "./commands/events.ts";
import { findCommands } from "./commands/find.ts";
import { governorCommand } from "./commands/governor.ts";
import { jobsCommand } from "./commands/jobs.ts";
import { keyCommand } from "./commands/key.ts";
import { logsCommand } from "./commands/logs.ts";
import { personCommand } from "./commands/person.ts";
import { pingCommand } from "./commands/ping.ts";
import { policyCommand } from "./commands/policy.ts";
import { serverCommand } from "./commands/server.ts";
import { settingsCommands } from "./commands/settings.ts";
import { yardCommands } from "./commands/status.ts";
import { upCommand } from "./commands/up.ts";
import { websiteCommand } from "./commands/website.ts";
import { printable } from "./render/printable.ts";

const HELP = `
A first tour:
  boxyard status                                            is all well?
  boxyard cluster create --boxes 2                          a customer's servers
  boxyard website create --cluster c1 --domain www.example.org
  boxyard key add s1 ~/.ssh/id_ed25519.pub                  who may push
  boxyard website show s1                                   its Git URL; git push there goes live on all boxes or on none
  boxyard deployment list s1                                what became of it

Every command takes --json, and --help with examples. Results go to standard output, progress and errors to
standard error. Exit status: 0 done, 1 not done and the reason said, 2 the command line was not understood.`;

/** Exit status when the command line itself is wrong. */
const USAGE_ERROR = 2;

// A reader that has seen enough (boxyard logs s1 | head) is no error.
process.stdout.on("error", (error: NodeJS.ErrnoException) => process.exit(error.code === "EPIPE" ? 0 : 1));

try {
  await createProgram().parseAsync();
} catch (thrown) {
  process.stderr.write(`${printable(renderFault(thrown))}\n`);
  process.exitCode = isFault(thrown, "input.invalid") ? USAGE_ERROR : 1;
}

function createProgram(): Command {
  const { version } = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8")) as { version: string };
  const program = new Command("boxyard")
    .description("Boxyard: websites on clusters of your own servers, by git push")
    .version(version)
    .addOption(new Option("--yard <name>", "the yard to talk to").default("main").env("BOXYARD_YARD"))
    .addHelpText("after", HELP);
  const commands = [
    ...yardCommands(),
    pingCommand(),
    ...findCommands(),
    doCommand(),
    actionsCommand(),
    jobsCommand(),
    governorCommand(),
    ...settingsCommands(),
    personCommand(),
    policyCommand(),
    eventsCommand(),
    auditCommand(),
    serverCommand(),
    clusterCommand(),
    websiteCommand(),
    domainCommand(),
    keyCommand(),
    ...deployCommands(),
    deploymentCommand(),
    logsCommand(),
    upCommand(),
    downCommand(),
  ];
  for (const command of commands) program.addCommand(command);
  return exitOnUsageErrors(program);
}

/** commander ends with 1 for a wrong command line; 1 is kept for what was understood and could not be done. */
function exitOnUsageErrors(command: Command): Command {
  command.exitOverride((error) => process.exit(error.exitCode === 0 ? 0 : USAGE_ERROR)).showHelpAfterError("(--help tells more)");
  for (const sub of command.commands) exitOnUsageErrors(sub);
  return command;
}
