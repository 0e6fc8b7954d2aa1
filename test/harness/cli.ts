import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { Readable } from "node:stream";
import { execa } from "execa";
import { runCommandLine } from "#cli/command-line.ts";
import { ScriptedControl } from "./scripted-control.ts";

/** What people start. */
export const BOXYARD = resolve(import.meta.dirname, "../../bin/boxyard");

interface RunOptions {
  readonly input?: string;
  readonly env?: Readonly<Record<string, string>>;
}

export interface Ran {
  readonly exitCode: number;
  /** Without the line break at its end, as a shell gives what it captures. */
  readonly stdout: string;
  readonly stderr: string;
}

/** The CLI in this process, or as people start it, with a control that answers as told. */
export class TestCli {
  readonly control: ScriptedControl;
  /** A directory for a test's own files. */
  readonly scratch: string;

  static async start(): Promise<TestCli> {
    return new TestCli(await ScriptedControl.start(), await mkdtemp(join(tmpdir(), "boxyard-cli-test-")));
  }

  private constructor(control: ScriptedControl, scratch: string) {
    this.control = control;
    this.scratch = scratch;
  }

  /** Runs a command in this process, one at a time; never throws. */
  async run(args: readonly string[], { input = "", env = {} }: RunOptions = {}): Promise<Ran> {
    return inPlaceOfTheProcess({ input, env: this.#environment(env) }, () => runCommandLine(args));
  }

  /** Runs a command as a process of its own, as people do; never throws. */
  async start(args: readonly string[], { input = "", env = {}, bin = BOXYARD }: RunOptions & { readonly bin?: string } = {}) {
    return execa(bin, args, { reject: false, cwd: "/", input, extendEnv: false, env: this.#environment(env), timeout: 60_000 });
  }

  #environment(env: Readonly<Record<string, string>>): Record<string, string> {
    return { PATH: process.env["PATH"] ?? "", BOXYARD_YARDS: this.control.yards, ...env };
  }

  routesAsked(): string[] {
    return this.control.asked.map(({ route }) => route);
  }

  /** Control has nothing to tell any more, and was asked nothing. */
  forget(): void {
    this.control.script = {};
    this.control.asked.length = 0;
  }

  async stop(): Promise<void> {
    await this.control.stop();
    await rm(this.scratch, { recursive: true });
  }
}

interface Surroundings {
  readonly input: string;
  readonly env: Readonly<Record<string, string>>;
}

/** What the work writes to standard output and error is kept, and it reads the input and the environment that are given. */
async function inPlaceOfTheProcess({ input, env }: Surroundings, work: () => Promise<number>): Promise<Ran> {
  const written = { stdout: "", stderr: "" };
  const before = { env: process.env, stdin: Object.getOwnPropertyDescriptor(process, "stdin"), exitCode: process.exitCode };
  const streams = (["stdout", "stderr"] as const).map((name) => ({ name, write: process[name].write }));
  for (const { name } of streams)
    process[name].write = ((chunk: string | Uint8Array): boolean => {
      written[name] += typeof chunk === "string" ? chunk : Buffer.from(chunk).toString();
      return true;
    }) as typeof process.stdout.write;
  process.env = { ...env };
  process.exitCode = undefined;
  Object.defineProperty(process, "stdin", { value: Readable.from([Buffer.from(input)]), configurable: true });
  try {
    const exitCode = await work();
    return { exitCode, stdout: written.stdout.replace(/\n$/, ""), stderr: written.stderr.replace(/\n$/, "") };
  } finally {
    for (const { name, write } of streams) process[name].write = write;
    process.env = before.env;
    process.exitCode = before.exitCode;
    if (before.stdin !== undefined) Object.defineProperty(process, "stdin", before.stdin);
  }
}
