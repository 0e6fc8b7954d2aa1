import { createHash } from "node:crypto";
import { readdir, readFile, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { writeFileAtomic } from "#base/atomic-file.ts";
import { Fault, isFault } from "#base/fault.ts";
import { type Argv, run } from "#base/run.ts";
import { accountIds } from "./accounts.ts";
import { type Ownership, ownershipMismatch } from "./file.ts";
import type { Resource } from "./resource.ts";

export interface ConfigurationFile extends Ownership {
  readonly path: string;
  readonly content: string;
}

export interface ConfigurationWant {
  /** Names the configuration in reports and in the record of what is active. */
  readonly id: string;
  readonly files: readonly ConfigurationFile[];
  /** Every file of these directories whose name matches, and which is not among `files`, goes away. */
  readonly owns?: readonly { readonly directory: string; readonly pattern: RegExp }[];
  /**
   * The service's own checker. It sees the files at their final place, and they are taken back when it refuses them: a
   * service reads its files only when it is told to, so that the running one never sees them.
   */
  readonly check: Argv | null;
  /** Makes the service use the files, for example a reload; in order. */
  readonly activate: readonly Argv[];
  /** The unit that `activate` restarts, when others would miss it; see Resource. */
  readonly restarts?: string;
  /** Where the record of what is active stands; the server's own by default. */
  readonly records?: string;
}

/** What a server has activated, by name. */
export const RECORDS = "/var/lib/boxyard/activated";

/**
 * A service's configuration files as one unit: checked by the service's own checker before the service uses them. When
 * the checker refuses (Fault "converge.refused" with its words) or the activation fails, the old files are put back.
 */
export function configuration(want: ConfigurationWant): Resource {
  const hash = hashOf(want);
  const record = join(want.records ?? RECORDS, want.id.replaceAll("/", "-"));
  const underWay = `${record}.before`;
  return {
    id: `configuration ${want.id}`,
    ...(want.restarts === undefined ? {} : { restarts: want.restarts }),
    mismatch: async () => {
      for (const one of want.files) {
        const reason = await fileMismatch(one);
        if (reason !== null) return `${one.path} ${reason}`;
      }
      const [surplus] = await surplusFiles(want);
      if (surplus !== undefined) return `${surplus} should not be there`;
      return (await readFile(record, "utf8").catch(() => "")) === hash ? null : "is not active yet";
    },
    apply: async () => {
      // A turn that was cut off may have left files that no checker has seen: the ones before it are those to keep.
      await restore(await readKept(underWay));
      const kept = await keep([...want.files.map(({ path }) => path), ...(await surplusFiles(want))]);
      await writeFileAtomic(underWay, JSON.stringify(kept), { mode: 0o600 });
      try {
        await replaceFiles(want);
        await check(want);
        await activate(want);
      } catch (thrown) {
        await restore(kept);
        await rm(underWay, { force: true });
        if (isFault(thrown, "converge.not-activated")) await activate(want).catch(() => undefined);
        throw thrown;
      }
      await rm(underWay, { force: true });
      await writeFileAtomic(record, hash);
    },
  };
}

async function check({ id, check: checker }: ConfigurationWant): Promise<void> {
  if (checker === null) return;
  await run(checker).catch((cause: unknown) => {
    throw new Fault("converge.refused", `${checker[0]} refuses the new configuration of ${id}`, { cause });
  });
}

async function activate({ id, activate: commands }: ConfigurationWant): Promise<void> {
  try {
    for (const command of commands) await run(command, { timeoutMs: 120_000 });
  } catch (cause) {
    throw new Fault("converge.not-activated", `cannot activate the new configuration of ${id}; the old one is back`, { cause });
  }
}

async function replaceFiles(want: ConfigurationWant): Promise<void> {
  for (const one of want.files) {
    const { uid, gid } = await accountIds(one.owner, one.group);
    await writeFileAtomic(one.path, one.content, { mode: one.mode ?? 0o644, uid, gid });
  }
  for (const path of await surplusFiles(want)) await rm(path, { force: true });
}

async function fileMismatch(want: ConfigurationFile): Promise<string | null> {
  const have = await readFile(want.path, "utf8").catch(() => null);
  if (have === null) return "is missing";
  if (have !== want.content) return "has other content";
  return ownershipMismatch(want.path, { ...want, mode: want.mode ?? 0o644 });
}

async function surplusFiles({ files, owns = [] }: ConfigurationWant): Promise<string[]> {
  const wanted = new Set(files.map(({ path }) => path));
  const found = await Promise.all(
    owns.map(async ({ directory, pattern }) => {
      const names = await readdir(directory).catch(() => []);
      return names.filter((name) => pattern.test(name)).map((name) => join(directory, name));
    }),
  );
  return found.flat().filter((path) => !wanted.has(path));
}

const KeptFile = z.object({
  path: z.string(),
  /** Null when there was no file; content in base64. */
  was: z.object({ content: z.string(), mode: z.int(), uid: z.int(), gid: z.int() }).nullable(),
});
type KeptFile = z.infer<typeof KeptFile>;
const Kept = z.array(KeptFile);
type Kept = readonly KeptFile[];

async function keep(paths: readonly string[]): Promise<Kept> {
  return Promise.all(paths.map(async (path) => ({ path, was: await read(path).catch(() => null) })));
}

async function read(path: string): Promise<KeptFile["was"]> {
  const { mode, uid, gid } = await stat(path);
  return { content: await readFile(path, "base64"), mode: mode & 0o7777, uid, gid };
}

async function readKept(path: string): Promise<Kept> {
  const text = await readFile(path, "utf8").catch(() => null);
  return text === null ? [] : Kept.parse(JSON.parse(text));
}

async function restore(kept: Kept): Promise<void> {
  for (const { path, was } of kept) {
    if (was === null) await rm(path, { force: true });
    else await writeFileAtomic(path, Buffer.from(was.content, "base64"), was);
  }
}

function hashOf({ files, activate: commands }: ConfigurationWant): string {
  return createHash("sha256")
    .update(JSON.stringify([files, commands]))
    .digest("hex");
}
