import { type ChildProcessByStdio, spawn } from "node:child_process";
import type { Readable, Writable } from "node:stream";
import { Fault } from "#base/fault.ts";
import type { Argv } from "#base/run.ts";
import type { CommitId } from "#contract/names.ts";

/** Nothing outside of the command line may change what git does: no hooks, no configuration of system or user, no replaced objects. */
export const GIT_ENVIRONMENT = {
  PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
  LC_ALL: "C.UTF-8",
  HOME: "/nonexistent",
  GIT_CONFIG_NOSYSTEM: "1",
  GIT_CONFIG_GLOBAL: "/dev/null",
  GIT_NO_REPLACE_OBJECTS: "1",
  // A few bytes of a pack can ask for any amount of memory. Git stores no file of more than 512 MB as a difference by itself.
  GIT_ALLOC_LIMIT: "640m",
  GIT_TERMINAL_PROMPT: "0",
};

const LIMIT_MS = 110_000;

/** Commands on a website's bare repository. */
export const git = {
  init: (repository: string): Argv => ["git", "init", "--quiet", "--bare", "--", repository],
  indexPack: (repository: string): Argv => of(repository, "index-pack", "--stdin", "--fix-thin"),
  listTree: (repository: string, commit: CommitId): Argv => of(repository, "ls-tree", "-r", "-z", "--full-tree", commit),
  /** Reads every object that is referred to. */
  check: (repository: string): Argv => of(repository, "fsck", "--full", "--no-dangling", "--no-progress"),
  readObjects: (repository: string): Argv => of(repository, "cat-file", "--batch-command"),
  collectGarbage: (repository: string): Argv =>
    of(repository, "-c", "gc.packRefs=false", "-c", "gc.autoDetach=false", "gc", "--auto", "--quiet"),
};

function of(repository: string, ...rest: string[]): Argv {
  return ["git", `--git-dir=${repository}`, "-c", "core.hooksPath=/dev/null", "-c", `safe.directory=${repository}`, ...rest];
}

/** Runs a git command to its end and gives what it printed. */
export async function runGit(argv: Argv, signal?: AbortSignal): Promise<string> {
  const limit = AbortSignal.timeout(LIMIT_MS);
  const process = startGit(argv, signal === undefined ? limit : AbortSignal.any([signal, limit]));
  process.stdin.end();
  const chunks: Buffer[] = [];
  process.stdout.on("data", (chunk: Buffer) => chunks.push(chunk));
  await process.ended;
  return Buffer.concat(chunks).toString("utf8");
}

/** A git command whose input and output are streams. */
export interface GitProcess {
  readonly stdin: Writable;
  readonly stdout: Readable;
  /** Resolves when it has ended well; rejects with git's own words when not. */
  readonly ended: Promise<void>;
}

export function startGit(argv: Argv, signal: AbortSignal): GitProcess {
  const [program, ...args] = argv;
  const child = spawn(program, args, { env: GIT_ENVIRONMENT, stdio: ["pipe", "pipe", "pipe"], signal });
  const ended = endOf(child);
  // Whoever awaits it sees the rejection; a stream error that is thrown first must not leave this one unhandled.
  ended.catch(() => undefined);
  return { stdin: child.stdin, stdout: child.stdout, ended };
}

async function endOf(child: ChildProcessByStdio<Writable, Readable, Readable>): Promise<void> {
  let said = "";
  child.stderr.on("data", (chunk: Buffer) => {
    said = `${said}${chunk.toString("utf8")}`.slice(-2_000);
  });
  const code = await new Promise<number | null>((resolve, reject) => {
    child.on("error", reject);
    child.on("close", resolve);
  });
  if (code !== 0) throw new Fault("git.failed", `git: ${said.trim() || `ended with ${code ?? "a signal"}`}`);
}
