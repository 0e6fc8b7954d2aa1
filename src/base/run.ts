import { execa } from "execa";
import { Fault } from "./fault.ts";

/** A command as data: the program, then its arguments; never a shell string. */
export type Argv = readonly [program: string, ...args: string[]];

export interface RunOptions {
  /** Written to the command's standard input, which is closed after it; secrets go this way, never as arguments. */
  readonly input?: string | Uint8Array;
  readonly cwd?: string;
  /** Added to the fixed environment (PATH, LC_ALL=C, HOME=/root). */
  readonly environment?: Readonly<Record<string, string>>;
  /** Killed after this time; 60 s by default. */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
  /** Exit codes that are an answer, not a fault; only 0 by default. */
  readonly acceptExitCodes?: readonly number[];
}

export interface RunResult {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

const FIXED_ENVIRONMENT = { PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", LC_ALL: "C.UTF-8", HOME: "/root" };

/**
 * Runs a command to its end and gives what it printed.
 * Throws Fault "run.failed" (details: exitCode, stdout, stderr) when it exits otherwise than accepted, is killed or cannot start.
 */
export async function run(argv: Argv, options: RunOptions = {}): Promise<RunResult> {
  const [program, ...args] = argv;
  const result = await execa(program, args, {
    env: { ...FIXED_ENVIRONMENT, ...options.environment },
    extendEnv: false,
    reject: false,
    stripFinalNewline: false,
    timeout: options.timeoutMs ?? 60_000,
    ...(options.input === undefined ? { stdin: "ignore" as const } : { input: options.input }),
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    ...(options.signal === undefined ? {} : { cancelSignal: options.signal }),
  });
  const { exitCode, stdout, stderr } = result;
  if (exitCode !== undefined && (options.acceptExitCodes ?? [0]).includes(exitCode)) return { exitCode, stdout, stderr };
  throw new Fault("run.failed", describeFailure(program, stderr || stdout, result.shortMessage ?? ""), {
    details: { exitCode, stdout, stderr },
  });
}

/** Runs a command that goes on, and gives its lines as they come; the signal ends it. Throws Fault "run.failed" when it ends by itself with a fault. */
export async function* runLines([program, ...args]: Argv, signal: AbortSignal): AsyncIterable<string> {
  const subprocess = execa(program, args, {
    env: FIXED_ENVIRONMENT,
    extendEnv: false,
    stdin: "ignore",
    cancelSignal: signal,
    buffer: false,
  });
  subprocess.catch(() => undefined);
  try {
    for await (const line of subprocess) yield line;
  } catch (thrown) {
    if (!signal.aborted) throw new Fault("run.failed", `${program} ended`, { cause: thrown });
  }
}

/** The last lines of what the program said, or how it ended when it said nothing. */
function describeFailure(program: string, said: string, howItEnded: string): string {
  const lines = said.trim().split("\n").slice(-8).join("\n");
  return lines === "" ? howItEnded : `${program}: ${lines}`;
}
