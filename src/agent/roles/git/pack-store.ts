import { createHash } from "node:crypto";
import { createWriteStream } from "node:fs";
import { mkdir, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import type { CommitId } from "#contract/names.ts";
import type { Repository } from "./repository.ts";

/** A pack that lies ready on disk. */
export interface Pack {
  readonly path: string;
  readonly sizeBytes: number;
}

export interface PackQuestion {
  readonly repository: Repository;
  readonly commit: CommitId;
  readonly have: CommitId | null;
}

const KEPT_MS = 30_000;
const KEPT_LIMIT_BYTES = 1_000_000_000;
const PACK_TIMEOUT_MS = 300_000;

interface Kept {
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

  /** Hands over the pack while `use` runs; it may go after that. */
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

  /** How many packs are kept at the moment. */
  get size(): number {
    return this.#kept.size;
  }

  #compute(key: string, question: PackQuestion): Kept {
    const path = join(this.#directory, `${createHash("sha256").update(key).digest("hex")}-${process.hrtime.bigint()}.pack`);
    const pack = writePack(path, question, this.#stopping.signal);
    const kept: Kept = { pack, path, sizeBytes: 0, readers: 0, usedMs: performance.now() };
    this.#kept.set(key, kept);
    pack.then(
      ({ sizeBytes }) => {
        kept.sizeBytes = sizeBytes;
        this.#sweep();
      },
      () => this.#forget(key, kept),
    );
    return kept;
  }

  /** Drops what has not been read for a while, and the longest unread while all together are too large. */
  #sweep(): void {
    const idle = [...this.#kept]
      .filter(([, { readers, sizeBytes }]) => readers === 0 && sizeBytes > 0)
      .toSorted(([, a], [, b]) => a.usedMs - b.usedMs);
    let totalBytes = [...this.#kept.values()].reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
    for (const [key, kept] of idle) {
      if (totalBytes <= KEPT_LIMIT_BYTES && performance.now() - kept.usedMs < KEPT_MS) continue;
      totalBytes -= kept.sizeBytes;
      this.#forget(key, kept);
    }
  }

  #forget(key: string, kept: Kept): void {
    if (this.#kept.get(key) === kept) this.#kept.delete(key);
    rm(kept.path, { force: true }).catch(() => undefined);
  }
}

async function writePack(path: string, { repository, commit, have }: PackQuestion, stopping: AbortSignal): Promise<Pack> {
  const signal = AbortSignal.any([stopping, AbortSignal.timeout(PACK_TIMEOUT_MS)]);
  const packing = repository.startPack(commit, have, signal);
  packing.stdin.on("error", () => undefined);
  const [written] = await Promise.allSettled([pipeline(packing.stdout, createWriteStream(path, { mode: 0o600 }))]);
  await packing.ended;
  if (written.status === "rejected") throw written.reason;
  return { path, sizeBytes: (await stat(path)).size };
}
