import { randomBytes } from "node:crypto";
import { lstat, mkdir, readdir } from "node:fs/promises";
import { hostname } from "node:os";
import { nowMicros } from "#base/clock.ts";
import { removeTree } from "../../converge/remove-tree.ts";

/** A seed is filled within minutes; what another server fills must not be taken from it. */
const ABANDONED_MS = 24 * 3_600_000;
/** With the name of its server; those from before have none. */
const SEED = /^\.seed-(?:(.+)-)?[0-9a-f]{12}$/;

/** Those that this process fills now. */
const beingFilled = new Set<string>();

/** Does work with a directory that only root can enter, beside the shared folder that is to come out of it. */
export async function withSeed(files: string, work: (seed: string) => Promise<void>): Promise<void> {
  const seed = `${files}/.seed-${hostname()}-${randomBytes(6).toString("hex")}`;
  beingFilled.add(seed);
  try {
    await mkdir(seed, { mode: 0o700 });
    await work(seed);
  } finally {
    await removeTree(seed);
    beingFilled.delete(seed);
  }
}

/** What agents have left that were killed while they filled it: of this server at once, of others when it is old. */
export async function findLeftSeeds(files: string): Promise<string[]> {
  const left: string[] = [];
  for (const name of await readdir(files).catch(() => [])) {
    const [isSeed, server] = SEED.exec(name) ?? [];
    const seed = `${files}/${name}`;
    if (isSeed === undefined || beingFilled.has(seed)) continue;
    if (server === hostname() || (await ageMs(seed)) > ABANDONED_MS) left.push(seed);
  }
  return left;
}

/** One that is gone by now is as new as can be. */
async function ageMs(path: string): Promise<number> {
  const found = await lstat(path).catch(() => null);
  return found === null ? 0 : nowMicros() / 1000 - found.mtimeMs;
}
