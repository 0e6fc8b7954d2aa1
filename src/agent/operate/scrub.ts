import { constants, type Stats } from "node:fs";
import { lstat, open, opendir } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { Fault } from "#base/fault.ts";
import type { scrub } from "#contract/actions/server.ts";
import type { JobHandler } from "#fabric/fabric.ts";

type Scrub = typeof scrub;

const CHUNK_BYTES = 256 * 1024;
const MOST_TOLD = 100;
const MEGABYTE = 1e6;

/** Reads every file beneath a path, and tells which cannot be read. Fault "server.no-path". */
export const scrubFiles: JobHandler<Scrub["input"], Scrub["result"]> = async ({ path, megabytesPerSecond }, { signal, report }) => {
  const top = await lstat(path).catch((cause: unknown) => {
    throw new Fault("server.no-path", `there is no ${path} on this server`, { cause });
  });
  const pace = new Pace(megabytesPerSecond * MEGABYTE);
  const unreadable: { path: string; why: string }[] = [];
  let files = 0;
  let bytes = 0;
  for await (const [file, trouble] of filesBeneath(path, top.dev)) {
    signal.throwIfAborted();
    files++;
    try {
      if (trouble !== null) throw trouble;
      for await (const count of readThrough(file)) {
        bytes += count;
        await pace.keep(bytes, signal);
        report(`${files} files, ${(bytes / MEGABYTE).toFixed(1)} MB: ${file}`);
      }
    } catch (thrown) {
      signal.throwIfAborted();
      if (unreadable.length < MOST_TOLD) unreadable.push({ path: cut(file, 300), why: cut((thrown as Error).message, 200) });
    }
  }
  return { files, bytes, unreadable };
};

/** A path may have thousands of characters, and a website may have thousands of such paths. */
function cut(text: string, most: number): string {
  return text.length <= most ? text : `${text.slice(0, most - 1)}…`;
}

/** Regular files of one file system, and directories that cannot be listed, with the reason. */
async function* filesBeneath(path: string, device: number): AsyncIterable<[path: string, trouble: unknown]> {
  const found: Stats | null = await lstat(path).catch(() => null);
  if (found === null || found.dev !== device) return;
  if (found.isFile()) yield [path, null];
  if (!found.isDirectory()) return;
  try {
    for await (const entry of await opendir(path)) yield* filesBeneath(join(path, entry.name), device);
  } catch (thrown) {
    yield [path, thrown];
  }
}

/** How many bytes were read each time. What was swapped for a link meanwhile is not followed, what blocks is not waited for. */
async function* readThrough(path: string): AsyncIterable<number> {
  const file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  try {
    const buffer = Buffer.allocUnsafe(CHUNK_BYTES);
    for (;;) {
      const { bytesRead } = await file.read(buffer, 0, CHUNK_BYTES, null);
      if (bytesRead === 0) return;
      yield bytesRead;
    }
  } finally {
    await file.close();
  }
}

/** Keeps work at so many bytes a second. */
class Pace {
  readonly #bytesPerSecond: number;
  readonly #startedAt = performance.now();

  constructor(bytesPerSecond: number) {
    this.#bytesPerSecond = bytesPerSecond;
  }

  async keep(bytes: number, signal: AbortSignal): Promise<void> {
    const ahead = this.#startedAt + (bytes / this.#bytesPerSecond) * 1000 - performance.now();
    if (ahead > 1) await sleep(ahead, undefined, { signal });
  }
}
