import { readFileSync } from "node:fs";
import { Command, CommanderError, Option } from "commander";
import { isFault, renderFault } from "#base/fault.ts";
import { Unasked } from "./command.ts";
import { loadCommands } from "./commands.ts";
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
standard error. Exit status: 0 done, 1 not done and the reason said, 2 the command line was not understood.
“status” and “website show” exit with 0 when all is well, 1 when something is wrong, 2 when control cannot be asked.`;

/** Exit status when the command line itself is wrong. */
const USAGE_ERROR = 2;
/** Exit status of a command that answers whether all is well when control cannot be asked. */
const CANNOT_ASK = 2;

/** Carries out one command line, without the program's name; returns its exit status. */
export async function runCommandLine(argv: readonly string[]): Promise<number> {
  try {
    const program = await createProgram(argv);
    await program.parseAsync(argv, { from: "user" });
    return Number(process.exitCode ?? 0);
  } catch (thrown) {
    // commander ends with 1 for a wrong command line, which it has reported; 1 is kept for what was understood and could not be done.
    if (thrown instanceof CommanderError) return thrown.exitCode === 0 ? 0 : USAGE_ERROR;
    const fault = thrown instanceof Unasked ? thrown.cause : thrown;
    process.stderr.write(`${printable(renderFault(fault))}\n`);
    if (thrown instanceof Unasked) return CANNOT_ASK;
    return isFault(fault, "input.invalid") ? USAGE_ERROR : 1;
  }
}

async function createProgram(argv: readonly string[]): Promise<Command> {
  const { version } = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8")) as { version: string };
  const program = new Command("boxyard")
    .description("Boxyard: websites on clusters of your own servers, by git push")
    .version(version)
    .addOption(new Option("--yard <name>", "the yard to talk to").default("main").env("BOXYARD_YARD"))
    .addHelpText("after", HELP);
  const commands = await loadCommands(argv);
  for (const command of commands) program.addCommand(command);
  return throwingUsageErrors(program);
}

function throwingUsageErrors(command: Command): Command {
  command.exitOverride().showHelpAfterError("(see --help)");
  for (const sub of command.commands) throwingUsageErrors(sub);
  return command;
}
