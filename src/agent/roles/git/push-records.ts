import { mkdir, open, readdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { writeFileAtomic } from "#base/atomic-file.ts";
import { nowMicros } from "#base/clock.ts";
import { type CommitId, Timestamp, type WebsiteId } from "#contract/names.ts";
import { Push } from "#contract/push.ts";

/** A push as the git server remembers it, on disk before anything else happens to it. */
export const PushRecord = z.object({
  push: Push,
  /** When the bus acknowledged it; null before. */
  publishedAt: Timestamp.nullable(),
  /** How it ended, as control told; null before. */
  outcome: z.object({ isLive: z.boolean(), reason: z.string().nullable(), at: Timestamp }).nullable(),
});
export type PushRecord = z.infer<typeof PushRecord>;

const KEPT_PER_WEBSITE = 100;
const FILE_NAME = /^(s[1-9][0-9]*-[0-9a-z]+)\.json$/;

/** All pushes that are under way and the last finished ones, one file each. */
export class PushRecords {
  readonly #directory: string;
  readonly #records = new Map<string, PushRecord>();

  constructor(directory: string) {
    this.#directory = directory;
  }

  /** Reads what an earlier process left; gives the names of files that cannot be read. */
  async load(): Promise<string[]> {
    await mkdir(this.#directory, { recursive: true, mode: 0o700 });
    const broken: string[] = [];
    for (const name of (await readdir(this.#directory)).toSorted()) {
      if (!FILE_NAME.test(name)) continue;
      const record = PushRecord.safeParse(parseJson(await readFile(join(this.#directory, name), "utf8")));
      if (record.success) this.#records.set(record.data.push.id, record.data);
      else broken.push(name);
    }
    return broken;
  }

  find(id: string): PushRecord | null {
    return this.#records.get(id) ?? null;
  }

  /** Every record of a website, oldest first. */
  of(website: WebsiteId): PushRecord[] {
    return [...this.#records.values()].filter(({ push }) => push.website === website).toSorted(byAge);
  }

  /** Accepted, and not yet known to the bus; oldest first. */
  unpublished(): PushRecord[] {
    return [...this.#records.values()].filter(({ publishedAt, outcome }) => publishedAt === null && outcome === null).toSorted(byAge);
  }

  /** An id that no push has had. */
  newId(website: WebsiteId): string {
    let micros = nowMicros();
    while (this.#records.has(`${website}-${micros.toString(36)}`)) micros++;
    return `${website}-${micros.toString(36)}`;
  }

  /** Stores the record so that it survives a power loss, then remembers it. */
  async write(record: PushRecord): Promise<void> {
    await writeFileAtomic(this.#pathOf(record.push.id), JSON.stringify(record), { mode: 0o600 });
    await syncDirectory(this.#directory);
    this.#records.set(record.push.id, record);
    if (record.outcome !== null) await this.#prune(record.push.website);
  }

  async remove(id: string): Promise<void> {
    await rm(this.#pathOf(id), { force: true });
    this.#records.delete(id);
  }

  /**
   * Where the branch goes back to when this push did not go live: to what it was before, unless that was a push that did
   * not go live either.
   */
  restorePoint({ push }: PushRecord): CommitId | null {
    const older = this.of(push.website).filter((one) => byAge(one, { push }) < 0);
    let point = push.previous;
    for (const one of older.toReversed()) {
      if (one.push.commit !== point) continue;
      // The last push of a commit decides: one that failed at first may have gone live later.
      if (one.outcome?.isLive !== false) break;
      point = one.push.previous;
    }
    return point;
  }

  async #prune(website: WebsiteId): Promise<void> {
    const finished = this.of(website).filter(({ outcome }) => outcome !== null);
    for (const { push } of finished.slice(0, -KEPT_PER_WEBSITE)) await this.remove(push.id);
  }

  #pathOf(id: string): string {
    return join(this.#directory, `${id}.json`);
  }
}

function byAge(a: Pick<PushRecord, "push">, b: Pick<PushRecord, "push">): number {
  if (a.push.acceptedAt !== b.push.acceptedAt) return a.push.acceptedAt < b.push.acceptedAt ? -1 : 1;
  return a.push.id < b.push.id ? -1 : Number(a.push.id > b.push.id);
}

/** A new name in a directory is only safe when the directory itself has been written. */
async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, "r");
  await directory.sync().finally(() => directory.close());
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
