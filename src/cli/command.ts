import { Command, InvalidArgumentError, Option } from "commander";
import { Fault } from "#base/fault.ts";
import { YardName } from "#contract/names.ts";
import { type Client, connect } from "./client.ts";
import { WAIT_MS, type WaitOptions } from "./wait.ts";

/** What a command's work gets. */
export interface Invocation<A, O> {
  readonly client: Client;
  readonly args: A;
  readonly options: O;
  /** A line about work that goes on, on standard error. */
  readonly progress: (line: string) => void;
  /** How to wait for the yard; null with --no-wait and for commands that never wait. */
  readonly wait: WaitOptions | null;
}

export interface CommandDeclaration<A extends readonly unknown[], O, R> {
  /** As commander takes it: "show <website>". */
  readonly usage: string;
  readonly summary: string;
  /** Shown below the help, a line each, without the program's name. */
  readonly examples: readonly string[];
  /** What a person does after it, a line each, shown below the examples. */
  readonly next?: readonly string[];
  readonly options?: (command: Command) => Command;
  /** Whether it needs no yard. */
  readonly isLocal?: boolean;
  /** Whether it waits until the yard has converged: adds --no-wait and --timeout. */
  readonly waits?: boolean;
  readonly run: (invocation: Invocation<A, O>) => Promise<R>;
  /** The result for people; with --json it is printed as JSON instead. */
  readonly render: (result: R, options: O) => string;
  /** Exit status by result; 0 by default. */
  readonly exitCode?: (result: R) => number;
  /** Of a command that answers whether all is well: it exits with 0 when it is, 1 when not, 2 when control cannot be asked. */
  readonly isWell?: (result: R) => boolean;
}

interface CommonOptions {
  readonly json?: boolean;
  readonly wait?: boolean;
  readonly timeout?: number;
}

/** A command of the CLI: prints its result on standard output, for people or, with --json, as one JSON document. */
export function declare<A extends readonly unknown[], O, R>(declared: CommandDeclaration<A, O, R>): Command {
  const command = describe(declared);
  return command.action(async (...given: unknown[]) => {
    const options = command.opts<O & CommonOptions>();
    const args = given.slice(0, command.registeredArguments.length) as unknown as A;
    const progress = (line: string): void => void process.stderr.write(`${line}\n`);
    const wait = declared.waits && options.wait !== false ? waitOptions(progress, options.timeout) : null;
    const run = async (): Promise<R> => {
      const client = declared.isLocal ? noClient : await connect(yardOf(command));
      return declared.run({ client, args, options, progress, wait });
    };
    const result = await (declared.isWell === undefined ? run() : run().catch(rethrowUnasked));
    const text = options.json ? JSON.stringify(result, null, 2) : declared.render(result, options);
    if (text !== "") process.stdout.write(`${text}\n`);
    process.exitCode = declared.isWell?.(result) === false ? 1 : (declared.exitCode?.(result) ?? 0);
  });
}

/** Why a command that answers whether all is well has no answer: control could not be asked. Its cause is what went wrong. */
export class Unasked extends Error {}

/** Areas of the faults of a client that gets no answer, or may not ask. */
const UNASKED_AREAS = ["access", "api", "control", "yard"];

function rethrowUnasked(thrown: unknown): never {
  const isUnasked = thrown instanceof Fault && UNASKED_AREAS.includes(thrown.code.split(".")[0] ?? "");
  throw isUnasked ? new Unasked("control could not be asked", { cause: thrown }) : thrown;
}

const noClient: Client = {
  yard: "none",
  call: () => Promise.reject(new Error("this command talks to no yard")),
  stream: () => {
    throw new Error("this command talks to no yard");
  },
};

function waitOptions(progress: (line: string) => void, timeout: number | undefined): WaitOptions {
  return { progress, timeoutMs: timeout === undefined ? WAIT_MS : timeout * 1000 };
}

/** The yard that --yard or BOXYARD_YARD names. */
export function yardOf(command: Command): string {
  const { yard } = command.optsWithGlobals<{ yard: string }>();
  const parsed = YardName.safeParse(yard);
  if (parsed.success) return parsed.data;
  throw new Fault("input.invalid", `“${yard}” is no name for a yard: ${parsed.error.issues[0]?.message}`);
}

/** For options that take a whole number; what else is given is told as a wrong command line. */
export function wholeNumber(text: string): number {
  if (/^\d{1,9}$/.test(text)) return Number(text);
  throw new InvalidArgumentError("Give a whole number.");
}

/** For options that take a time. */
export function seconds(text: string): number {
  if (/^\d{1,6}(\.\d{1,3})?$/.test(text)) return Number(text);
  throw new InvalidArgumentError("Give seconds, for example 30 or 0.5.");
}

/** A command group: prints its help, as a wrong command line, when no command of it is given. */
export function group(name: string, summary: string, commands: readonly Command[]): Command {
  const made = new Command(name).description(summary);
  for (const command of commands) made.addCommand(command);
  return made;
}

function describe<A extends readonly unknown[], O, R>(declared: CommandDeclaration<A, O, R>): Command {
  const { usage, summary, examples, next = [], options, waits } = declared;
  const [name, ...parameters] = usage.split(" ");
  const command = new Command(name).description(summary);
  for (const parameter of parameters) command.argument(parameter);
  options?.(command);
  if (waits) {
    command
      .option("--no-wait", "return at once; the yard goes on with it")
      .addOption(new Option("--timeout <seconds>", "wait at most so long").argParser(seconds).default(WAIT_MS / 1000));
  }
  return command
    .option("--json", "print the result as one JSON document")
    .addHelpText("after", helpText({ Examples: examples, Next: next }));
}

function helpText(sections: Readonly<Record<string, readonly string[]>>): string {
  return Object.entries(sections)
    .filter(([, lines]) => lines.length > 0)
    .map(([title, lines]) => `\n${title}:\n${lines.map((line) => `  boxyard ${line}`).join("\n")}`)
    .join("\n");
}
