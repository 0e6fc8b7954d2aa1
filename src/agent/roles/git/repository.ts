import type { Readable } from "node:stream";
import { Fault, isFault } from "#base/fault.ts";
import { type Argv, run } from "#base/run.ts";
import { CommitId } from "#contract/names.ts";
import { GIT_ENVIRONMENT, type GitProcess, startGit } from "../../website/releases/git.ts";
import { asUser, branchRef, gitCommand, NO_COMMIT, type RefMove, tagRef } from "./git-command.ts";

const TIMEOUT_MS = 60_000;

/** An object of a repository. */
export interface GitObject {
  readonly id: string;
  readonly type: string;
  readonly sizeBytes: number;
}

/** A website's bare repository on the git server, used with the rights of the website's own account. */
export class Repository {
  readonly path: string;
  readonly #uid: number | null;

  /** `uid` null: with the agent's own rights. */
  constructor(path: string, uid: number | null) {
    this.path = path;
    this.#uid = uid;
  }

  async init(): Promise<void> {
    await this.#run(gitCommand.init(this.path));
  }

  /** The commit that a ref points at, or null. */
  async readRef(ref: string): Promise<CommitId | null> {
    const { stdout } = await this.#run(gitCommand.readRef(this.path, ref), [0, 1]);
    return stdout.trim() === "" ? null : CommitId.parse(stdout.trim());
  }

  /** The commit that a branch points at, or null. */
  async readBranch(branch: string): Promise<CommitId | null> {
    return this.readRef(branchRef(branch));
  }

  /** The commit that a branch, a tag, or at least seven digits of a commit's id name, in this order; null when nothing does. */
  async findCommit(revision: string): Promise<CommitId | null> {
    const names = [branchRef(revision), tagRef(revision), ...(/^[0-9a-f]{7,40}$/.test(revision) ? [revision] : [])];
    const commits = await this.describe(names.map((name) => `${name}^{commit}`));
    return commits.find((commit) => commit !== null)?.id ?? null;
  }

  /** Moves a ref from one commit to another (null: no such ref); false, and nothing done, when it is not at the first. */
  async moveRef(ref: string, from: CommitId | null, to: CommitId | null): Promise<boolean> {
    if (from === null && to === null) return (await this.readRef(ref)) === null;
    const move: RefMove = { ref, from: from ?? NO_COMMIT, to: to ?? NO_COMMIT };
    try {
      await this.#run(gitCommand.moveRef(this.path, move));
      return true;
    } catch (thrown) {
      if ((await this.readRef(ref)) !== from) return false;
      throw thrown;
    }
  }

  /** Whether there is a commit of this name. */
  async hasCommit(commit: CommitId): Promise<boolean> {
    const { stdout } = await this.#run(gitCommand.objectType(this.path, commit), [0, 1, 128]);
    return stdout.trim() === "commit";
  }

  /** What each revision names, in the order asked; null for one that names nothing, or more than one object. */
  async describe(revisions: readonly string[]): Promise<(GitObject | null)[]> {
    if (revisions.length === 0) return [];
    const answer = await this.#ask(gitCommand.describeObjects(this.path), listOf(revisions), revisions.length * 200);
    return answer.toString("latin1").trim().split("\n").map(parseDescription);
  }

  /** The NUL-separated listing of a commit's whole tree with the sizes of all files; refused when it is longer than the limit. */
  async listTree(commit: CommitId, limitBytes: number): Promise<Buffer> {
    return this.#ask(gitCommand.listTree(this.path, commit), "", limitBytes);
  }

  /** The content of each object, in the order asked; refused when all together are longer than the limit. */
  async objects(objects: readonly string[], limitBytes: number): Promise<Buffer[]> {
    if (objects.length === 0) return [];
    const answer = await this.#ask(gitCommand.objects(this.path), listOf(objects), limitBytes + objects.length * 100);
    return splitObjects(answer);
  }

  /** Begins to write a pack with the commit and its history, without what is in `have` and its history. */
  startPack(commit: CommitId, have: CommitId | null, signal: AbortSignal): GitProcess {
    const pack = startGit(asUser(this.#uid, gitCommand.pack(this.path)), signal);
    pack.stdin.end(have === null ? `${commit}\n` : `${commit}\n^${have}\n`);
    return pack;
  }

  /** The refs of a folder, the newest commit first. */
  async listRefs(folder: string): Promise<{ readonly ref: string; readonly commit: CommitId }[]> {
    const { stdout } = await this.#run(gitCommand.listRefs(this.path, folder));
    const lines = stdout.split("\n").filter((line) => line !== "");
    return lines.map((line) => line.split(" ")).map(([ref = "", commit]) => ({ ref, commit: CommitId.parse(commit) }));
  }

  /** The commits that a commit stands on. */
  async parents(commit: CommitId): Promise<CommitId[]> {
    const { stdout } = await this.#run(gitCommand.parents(this.path, commit));
    return stdout.trim().split(" ").slice(1);
  }

  /** Begins to take a pack, which git checks as it does those of a push. */
  takePack(limitBytes: number, signal: AbortSignal): GitProcess {
    return startGit(asUser(this.#uid, gitCommand.takePack(this.path, limitBytes)), signal);
  }

  #run(argv: Argv, acceptExitCodes: readonly number[] = [0]): Promise<{ readonly stdout: string }> {
    return run(asUser(this.#uid, argv), { environment: GIT_ENVIRONMENT, timeoutMs: TIMEOUT_MS, acceptExitCodes });
  }

  async #ask(argv: Argv, input: string, limitBytes: number): Promise<Buffer> {
    const stopping = new AbortController();
    const process = startGit(asUser(this.#uid, argv), AbortSignal.any([stopping.signal, AbortSignal.timeout(TIMEOUT_MS)]));
    // Git may end before it has read all; how it ended says more than the broken pipe.
    process.stdin.on("error", () => undefined);
    process.stdin.end(input);
    try {
      const answer = await collect(process.stdout, limitBytes);
      await process.ended;
      return answer;
    } catch (thrown) {
      stopping.abort();
      throw thrown;
    }
  }
}

/** Whether git's answer was longer than allowed. */
export function isTooMuch(thrown: unknown): boolean {
  return isFault(thrown, "git.too-much");
}

async function collect(stream: Readable, limitBytes: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let sizeBytes = 0;
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    sizeBytes += chunk.length;
    if (sizeBytes > limitBytes) throw new Fault("git.too-much", `git's answer is longer than ${limitBytes} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

/** `cat-file --batch-check` answers "<object> <type> <size>", or "<what was asked> missing". */
function parseDescription(line: string): GitObject | null {
  const [, id, type, size] = /^([0-9a-f]{40}) (\w+) (\d+)$/.exec(line) ?? [];
  return id === undefined || type === undefined ? null : { id, type, sizeBytes: Number(size) };
}

function listOf(objects: readonly string[]): string {
  return objects.map((object) => `${object}\n`).join("");
}

/** `cat-file --batch` answers "<object> <type> <size>\n<content>\n" for each. */
function splitObjects(answer: Buffer): Buffer[] {
  const contents: Buffer[] = [];
  for (let at = 0; at < answer.length; ) {
    const end = answer.indexOf(10, at);
    const sizeBytes = Number(answer.toString("latin1", at, end).split(" ")[2]);
    if (end === -1 || !Number.isInteger(sizeBytes)) throw new Fault("git.failed", "git cat-file lacks an object");
    contents.push(answer.subarray(end + 1, end + 1 + sizeBytes));
    at = end + sizeBytes + 2;
  }
  return contents;
}
