import { createHash } from "node:crypto";
import { createWriteStream } from "node:fs";
import { mkdir, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { Fault } from "#base/fault.ts";
import type { CommitId } from "#contract/names.ts";
import { findBuild } from "./builds.ts";
import type { Repository } from "./repository.ts";

/** A pack that lies ready on disk. */
export interface Pack {
  readonly path: string;
  readonly sizeBytes: number;
  /** The commit that it is for: the one that was asked for, or what was built of it. */
  readonly content: CommitId;
}

export interface PackQuestion {
  readonly repository: Repository;
  readonly commit: CommitId;
  /** What the asker has whole; when the repository does not have it, the pack is of everything. */
  readonly have: CommitId | null;
}

const KEPT_MS = 30_000;
const KEPT_LIMIT_BYTES = 1_000_000_000;
const PACK_TIMEOUT_MS = 300_000;

interface Kept {
  key: string;
  readonly pack: Promise<Pack>;
  readonly path: string;
  sizeBytes: number;
  readers: number;
  usedMs: number;
}

/** Packs that were asked for a moment ago: all servers of a cluster ask for the same one, and it is computed once. */
export class PackStore {
  readonly #directory: string;
  readonly #kept = new Map<string, Kept>();
  readonly #stopping = new AbortController();
  #sweeping: NodeJS.Timeout | undefined;

  constructor(directory: string) {
    this.#directory = directory;
  }

  /** Begins empty: what an earlier process kept goes. */
  async start(): Promise<void> {
    await rm(this.#directory, { recursive: true, force: true });
    await mkdir(this.#directory, { recursive: true, mode: 0o700 });
    this.#sweeping = setInterval(() => this.#sweep(), KEPT_MS / 2).unref();
  }

  async stop(): Promise<void> {
    clearInterval(this.#sweeping);
    this.#stopping.abort();
    await Promise.allSettled([...this.#kept.values()].map(({ pack }) => pack));
    await rm(this.#directory, { recursive: true, force: true });
  }

  /** Hands over the pack while `use` runs; it may go after that. Throws Fault "git.no-commit" when the repository lacks the commit. */
  async borrow<T>(question: PackQuestion, use: (pack: Pack) => Promise<T>): Promise<T> {
    const key = `${question.repository.path} ${question.commit} ${question.have ?? ""}`;
    const kept = this.#kept.get(key) ?? this.#compute(key, question);
    kept.readers++;
    try {
      return await use(await kept.pack);
    } finally {
      kept.readers--;
      kept.usedMs = performance.now();
    }
  }

  /** Begins to compute a pack that will be asked for in a moment; the request for it hears what went wrong. */
  prepare(question: PackQuestion): void {
    this.borrow(question, async () => undefined).catch(() => undefined);
  }

  /** Computes the packs of a repository anew, because what they are made of has changed; who reads one reads on. */
  forget({ path }: Repository): void {
    for (const kept of [...this.#kept.values()].filter(({ key }) => key.startsWith(`${path} `))) {
      this.#kept.delete(kept.key);
      // Nobody asks for this key; it goes as others do when nobody reads it any more.
      kept.key = `outdated ${kept.path}`;
      this.#kept.set(kept.key, kept);
    }
  }

  /** How many packs are kept at the moment. */
  get size(): number {
    return this.#kept.size;
  }

  #compute(key: string, question: PackQuestion): Kept {
    const path = join(this.#directory, `${createHash("sha256").update(key).digest("hex")}-${process.hrtime.bigint()}.pack`);
    const pack = writePack(path, question, this.#stopping.signal);
    const kept: Kept = { key, pack, path, sizeBytes: 0, readers: 0, usedMs: performance.now() };
    this.#kept.set(key, kept);
    pack.then(
      ({ sizeBytes }) => {
        kept.sizeBytes = sizeBytes;
        this.#sweep();
      },
      () => this.#forget(kept),
    );
    return kept;
  }

  /** Drops what has not been read for a while, and the longest unread while all together are too large. */
  #sweep(): void {
    const idle = [...this.#kept.values()]
      .filter(({ readers, sizeBytes }) => readers === 0 && sizeBytes > 0)
      .toSorted((a, b) => a.usedMs - b.usedMs);
    let totalBytes = [...this.#kept.values()].reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
    for (const kept of idle) {
      if (totalBytes <= KEPT_LIMIT_BYTES && performance.now() - kept.usedMs < KEPT_MS) continue;
      totalBytes -= kept.sizeBytes;
      this.#forget(kept);
    }
  }

  #forget(kept: Kept): void {
    this.#kept.delete(kept.key);
    rm(kept.path, { force: true }).catch(() => undefined);
  }
}

async function writePack(path: string, question: PackQuestion, stopping: AbortSignal): Promise<Pack> {
  const { repository } = question;
  const { content, have } = await resolve(question);
  const signal = AbortSignal.any([stopping, AbortSignal.timeout(PACK_TIMEOUT_MS)]);
  const packing = repository.startPack(content, have, signal);
  packing.stdin.on("error", () => undefined);
  const [written] = await Promise.allSettled([pipeline(packing.stdout, createWriteStream(path, { mode: 0o600 }))]);
  await packing.ended;
  if (written.status === "rejected") throw written.reason;
  return { path, sizeBytes: (await stat(path)).size, content };
}

async function resolve({ repository, commit, have }: PackQuestion): Promise<{ content: CommitId; have: CommitId | null }> {
  const [asked, tree, known] = await repository.describe([commit, `${commit}^{tree}`, ...(have === null ? [] : [have])]);
  if (asked?.type !== "commit" || tree === null || tree === undefined)
    throw new Fault("git.no-commit", `there is no commit ${commit} in ${repository.path}`);
  return { content: (await findBuild(repository, tree.id)) ?? commit, have: known?.type === "commit" ? have : null };
}
