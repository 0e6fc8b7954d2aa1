import { randomBytes } from "node:crypto";
import { chmod, lchown, lstat, mkdir, rename, rm } from "node:fs/promises";
import { posix } from "node:path";
import { Fault } from "#base/fault.ts";
import { isSubmodule, type ListedEntry } from "./listing.ts";
import type { ObjectReader } from "./object-reader.ts";
import { TreeWriter } from "./tree-writer.ts";
import { writeEntries } from "./write-entries.ts";

export interface SharedFoldersOptions {
  /** The website's directory of shared files. */
  readonly files: string;
  readonly folders: readonly string[];
  readonly owner: { readonly uid: number; readonly gid: number };
  /** Everything that is in the commit. */
  readonly listAll: () => Promise<readonly ListedEntry[]>;
  readonly objects: ObjectReader;
}

/** Makes the shared folders that are not there yet, each with what the commit has at its place; never touches one that is there. */
export async function ensureSharedFolders({ files, folders, owner, listAll, objects }: SharedFoldersOptions): Promise<void> {
  for (const folder of folders) {
    await makeParents(files, posix.dirname(folder));
    if (await isFolder(`${files}/${folder}`)) continue;
    // Several servers do this at once on one volume: each makes a folder of its own, and the first rename wins.
    const seed = `${files}/.seed-${randomBytes(6).toString("hex")}`;
    try {
      await mkdir(seed, { mode: 0o755 });
      await fillSeed(seed, { prefix: `${folder}/`, owner, listing: await listAll(), objects });
      await rename(seed, `${files}/${folder}`).catch(unlessItIsThere);
    } finally {
      await rm(seed, { recursive: true, force: true });
    }
  }
}

interface SeedOptions extends Pick<SharedFoldersOptions, "owner" | "objects"> {
  readonly listing: readonly ListedEntry[];
  readonly prefix: string;
}

async function fillSeed(seed: string, { prefix, owner, listing, objects }: SeedOptions): Promise<void> {
  const entries = listing
    .filter((entry) => entry.path.startsWith(prefix) && !isSubmodule(entry))
    .map((entry) => ({ ...entry, path: entry.path.slice(prefix.length) }));
  await writeEntries(new TreeWriter(seed), entries, objects);
  const folders = new Set(entries.flatMap(({ path }) => foldersAbove(path)));
  for (const path of [...folders, ...entries.map((entry) => entry.path)]) {
    await lchown(`${seed}/${path}`, owner.uid, owner.gid).catch(unlessItIsLeftOut);
  }
  await chmod(seed, 0o755);
  await lchown(seed, owner.uid, owner.gid);
}

/** Folders above shared ones stay root's: what the website cannot write to, it cannot turn into a link either. */
async function makeParents(files: string, folder: string): Promise<void> {
  if (folder === ".") return;
  await makeParents(files, posix.dirname(folder));
  if (await isFolder(`${files}/${folder}`)) return;
  await mkdir(`${files}/${folder}`, { mode: 0o755 }).catch(unlessItIsThere);
}

async function isFolder(path: string): Promise<boolean> {
  const found = await lstat(path).catch(() => null);
  if (found !== null && !found.isDirectory())
    throw new Fault("release.bad-path", `${path} is to be a shared folder, but something else stands there`, {
      next: "move it away on the shell server, then push again",
    });
  return found !== null;
}

function foldersAbove(path: string): string[] {
  const folders: string[] = [];
  for (let at = posix.dirname(path); at !== "."; at = posix.dirname(at)) folders.push(at);
  return folders;
}

function unlessItIsThere(thrown: NodeJS.ErrnoException): void {
  if (thrown.code !== "EEXIST" && thrown.code !== "ENOTEMPTY") throw thrown;
}

/** Links that leave the repository are not made. */
function unlessItIsLeftOut(thrown: NodeJS.ErrnoException): void {
  if (thrown.code !== "ENOENT") throw thrown;
}
