import { type Argv, run } from "#base/run.ts";

/** How a transient unit gets on; `lost` when its server was started anew, so that nobody knows how far it came. */
export interface UnitOutcome {
  readonly state: "running" | "done" | "failed" | "timed-out" | "lost";
  /** Of a process that has ended by itself; null otherwise. */
  readonly exitStatus: number | null;
}

/** A command that systemd runs once; command, properties and environment are no place for secrets, every account can read them. */
export interface TransientUnit {
  /** With its ending, `.service`. */
  readonly name: string;
  readonly command: Argv;
  /** It is ended then. */
  readonly limitSeconds: number;
  /** See systemd.exec(5) and systemd.resource-control(5). */
  readonly properties?: readonly string[];
  readonly environment?: readonly string[];
  /** User and group of the same name; root without. */
  readonly user?: string;
  readonly directory?: string;
}

/** Begins the command as a unit of systemd: it outlives the agent, and stays when its process has ended, with how it did and what it said. */
export async function beginUnit(unit: TransientUnit): Promise<void> {
  const { name, command, limitSeconds, properties = [], environment = [], user, directory } = unit;
  const all = ["Type=exec", "RemainAfterExit=yes", `RuntimeMaxSec=${limitSeconds}`, ...properties];
  await run([
    "systemd-run",
    "--quiet",
    `--unit=${name}`,
    ...(user === undefined ? [] : [`--uid=${user}`, `--gid=${user}`]),
    ...(directory === undefined ? [] : [`--working-directory=${directory}`]),
    "--expand-environment=no",
    ...all.map((property) => `--property=${property}`),
    ...environment.map((one) => `--setenv=${one}`),
    "--",
    ...command,
  ]);
}

/** How the unit gets on. */
export async function readUnit(name: string): Promise<UnitOutcome> {
  const wanted = "--property=LoadState,ActiveState,SubState,Result,ExecMainCode,ExecMainStatus";
  const { stdout } = await run(["systemctl", "show", wanted, "--", name]);
  const read = (property: string): string => new RegExp(`^${property}=(.*)$`, "m").exec(stdout)?.[1] ?? "";
  if (read("LoadState") !== "loaded") return { state: "lost", exitStatus: null };
  if (read("SubState") === "exited") return { state: "done", exitStatus: 0 };
  if (read("ActiveState") !== "failed") return { state: "running", exitStatus: null };
  if (read("Result") === "timeout") return { state: "timed-out", exitStatus: null };
  // 1 is CLD_EXITED of wait(2).
  return { state: "failed", exitStatus: read("ExecMainCode") === "1" ? Number(read("ExecMainStatus")) : null };
}

/** What a unit has said, from the journal. */
export interface UnitOutput {
  readonly lines: readonly string[];
  /** Where to go on; null when it has said nothing yet. */
  readonly cursor: string | null;
}

/** Its next `most` lines at most, after those of an earlier answer. */
export async function readUnitOutput(name: string, { after, most }: { after: string | null; most: number }): Promise<UnitOutput> {
  const from = after === null ? [] : [`--after-cursor=${after}`];
  const matches = [`_SYSTEMD_UNIT=${name}`, "_TRANSPORT=stdout"];
  const shape = ["--no-pager", "--quiet", "--output=cat", `--lines=+${most}`, "--show-cursor"];
  const { stdout } = await run(["journalctl", ...shape, ...from, ...matches]);
  const lines = stdout.split("\n").slice(0, -1);
  // What the unit says may look like it, but never stands last.
  const cursor = /^-- cursor: (.+)$/.exec(lines.pop() ?? "")?.[1];
  return { lines, cursor: cursor ?? after };
}

/** All that units have said is in the journal when this resolves. */
export async function syncJournal(): Promise<void> {
  await run(["journalctl", "--sync"]);
}

/** Ends the unit when it still runs, and forgets how it ended. */
export async function forgetUnit(name: string): Promise<void> {
  await run(["systemctl", "stop", "--", name], { acceptExitCodes: [0, 5] });
  await run(["systemctl", "reset-failed", "--", name], { acceptExitCodes: [0, 1] });
}

/**
 * Runs a script of `shellScript` from its file. The script itself must not be in the command: every account of the server can read
 * command lines, and what systemd says of a unit.
 */
export function runScript(path: string): Argv {
  return ["/bin/bash", "-e", "-o", "pipefail", path];
}

/** A script for a shell that says each command before it runs it. */
export function shellScript(commands: readonly string[]): string {
  return commands.map((command) => `printf '%s\\n' ${quote(`$ ${command}`)}\n${command}`).join("\n");
}

function quote(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}
