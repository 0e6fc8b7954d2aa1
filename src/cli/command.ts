import { Command } from "commander";
import { Fault } from "#base/fault.ts";
import { YardName } from "#contract/names.ts";
import { type Client, connect } from "./client.ts";

/** What a command's work gets. */
export interface Invocation<A, O> {
  readonly client: Client;
  readonly args: A;
  readonly options: O;
  /** A line about work that goes on, on standard error. */
  readonly progress: (line: string) => void;
}

export interface CommandDeclaration<A extends readonly unknown[], O, R> {
  /** As commander takes it: "show <website>". */
  readonly usage: string;
  readonly summary: string;
  /** Shown below the help, a line each, without the program's name. */
  readonly examples: readonly string[];
  readonly options?: (command: Command) => Command;
  readonly run: (invocation: Invocation<A, O>) => Promise<R>;
  /** The result for people; with --json it is printed as JSON instead. */
  readonly render: (result: R) => string;
  /** Exit status by result; 0 unless told. */
  readonly exitCode?: (result: R) => number;
}

/** A command of the CLI: prints its result on standard output, for people or, with --json, as one JSON document. */
export function declare<A extends readonly unknown[], O, R>(declared: CommandDeclaration<A, O, R>): Command {
  const [name, ...parameters] = declared.usage.split(" ");
  const command = new Command(name)
    .description(declared.summary)
    .option("--json", "print the result as one JSON document")
    .addHelpText("after", `\nExamples:\n${declared.examples.map((example) => `  boxyard ${example}`).join("\n")}`);
  for (const parameter of parameters) command.argument(parameter);
  declared.options?.(command);
  return command.action(async (...given: unknown[]) => {
    const options = command.opts<O & { json?: boolean }>();
    const client = await connect(yardOf(command));
    const args = given.slice(0, command.registeredArguments.length) as unknown as A;
    const result = await declared.run({ client, args, options, progress: (line) => process.stderr.write(`${line}\n`) });
    process.stdout.write(options.json ? `${JSON.stringify(result, null, 2)}\n` : `${declared.render(result)}\n`);
    process.exitCode = declared.exitCode?.(result) ?? 0;
  });
}

/** The yard that --yard or BOXYARD_YARD names. */
export function yardOf(command: Command): string {
  const { yard } = command.optsWithGlobals<{ yard: string }>();
  const parsed = YardName.safeParse(yard);
  if (parsed.success) return parsed.data;
  throw new Fault("yard.bad-name", `“${yard}” is no name for a yard: ${parsed.error.issues[0]?.message}`);
}
