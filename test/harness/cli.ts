import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { execa } from "execa";
import { ScriptedControl } from "./scripted-control.ts";

/** What people start. */
export const BOXYARD = resolve(import.meta.dirname, "../../bin/boxyard");

interface RunOptions {
  readonly input?: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly bin?: string;
}

/** The CLI as people start it, a process for each command, with a control that answers as told. */
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

  /** Runs a command; never throws. */
  async run(args: readonly string[], { input = "", env = {}, bin = BOXYARD }: RunOptions = {}) {
    const environment = { PATH: process.env["PATH"] ?? "", BOXYARD_YARDS: this.control.yards, ...env };
    return execa(bin, args, { reject: false, cwd: "/", input, extendEnv: false, env: environment, timeout: 20_000 });
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
