import { chmod, lchown, lstat, mkdir, rename } from "node:fs/promises";
import { posix } from "node:path";
import { Fault, isFault } from "#base/fault.ts";
import { HeldDirectory } from "./held-directory.ts";
import { isSubmodule, type ListedEntry } from "./listing.ts";
import type { ObjectReader } from "./object-reader.ts";
import { withSeed } from "./seeds.ts";
import { isOutOfSpace } from "./space.ts";
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
  /** Called with Fault "release.bad-path" when something else stands where a folder should be; the other folders are made all the same. */
  readonly onBlocked: (fault: Fault) => void;
}

/**
 * Makes the shared folders that are not there yet, each with what the commit has at its place; never touches one that is
 * there. A folder is filled where the website cannot enter, and gets its place by one rename.
 */
export async function ensureSharedFolders({ files, folders, onBlocked, ...seeding }: SharedFoldersOptions): Promise<void> {
  for (const folder of folders) {
    try {
      await ensureSharedFolder(folder, { files, ...seeding });
    } catch (thrown) {
      if (!isFault(thrown, "release.bad-path")) throw thrown;
      onBlocked(thrown);
    }
  }
}

async function ensureSharedFolder(
  folder: string,
  { files, ...seeding }: Omit<SharedFoldersOptions, "folders" | "onBlocked">,
): Promise<void> {
  const parent = await openParent(files, posix.dirname(folder));
  try {
    const place = parent.at(posix.basename(folder));
    if (!(await isFree(place, `${files}/${folder}`))) return;
    // Several servers do this at once on one volume: each makes a folder of its own, and the first rename wins.
    await withSeed(files, async (seed) => {
      await fillSeed(`${seed}/folder`, folder, seeding);
      await rename(`${seed}/folder`, place)
        .catch(unlessItIsThere)
        .catch((thrown: unknown) => blockedUnlessRoots(parent, `${files}/${folder}`, thrown));
    });
  } finally {
    await parent.close();
  }
}

type Seeding = Pick<SharedFoldersOptions, "owner" | "listAll" | "objects">;

/** Below a directory that only root can enter: until the rename nobody else works there. */
async function fillSeed(seed: string, folder: string, { owner, listAll, objects }: Seeding): Promise<void> {
  const prefix = `${folder}/`;
  const entries = (await listAll())
    .filter((entry) => entry.path.startsWith(prefix) && !isSubmodule(entry))
    .map((entry) => ({ ...entry, path: entry.path.slice(prefix.length) }));
  await mkdir(seed, { mode: 0o755 });
  await writeEntries(new TreeWriter(seed), entries, objects);
  const folders = new Set(entries.flatMap(({ path }) => foldersAbove(path)));
  for (const path of [...folders, ...entries.map((entry) => entry.path)]) {
    await lchown(`${seed}/${path}`, owner.uid, owner.gid).catch(unlessItIsLeftOut);
  }
  await chmod(seed, 0o755);
  await lchown(seed, owner.uid, owner.gid);
}

/**
 * The directory in which the shared folder is to lie. Directories above shared ones stay root's: what the website cannot
 * write to, it cannot turn into a link either. One of them may be a shared folder of an earlier release, in which the
 * website does as it likes: each is entered by itself, and no link is followed.
 */
async function openParent(files: string, folder: string): Promise<HeldDirectory> {
  let held = await HeldDirectory.open(files);
  let path = files;
  for (const name of folder === "." ? [] : folder.split("/")) {
    path = `${path}/${name}`;
    const outer = held;
    try {
      held = await outer.enterOrMake(name);
    } catch (thrown) {
      return await blockedUnlessRoots(outer, path, thrown);
    } finally {
      await outer.close();
    }
  }
  return held;
}

/** False when the folder is there already. */
async function isFree(place: string, path: string): Promise<boolean> {
  const found = await lstat(place).catch(() => null);
  if (found !== null && !found.isDirectory()) throw blocked(path);
  return found === null;
}

/** Where the website may write, whatever fails is its own doing, and harms nobody but itself; a full disk is everybody's. */
async function blockedUnlessRoots(parent: HeldDirectory, path: string, thrown: unknown): Promise<never> {
  const isOwnDoing = isLinkOrFile(thrown) || !(isOutOfSpace(thrown) || (await parent.isRoots()));
  throw isOwnDoing ? blocked(path) : thrown;
}

function isLinkOrFile(thrown: unknown): boolean {
  return ["ELOOP", "ENOTDIR"].includes((thrown as NodeJS.ErrnoException).code ?? "");
}

function blocked(path: string): Fault {
  return new Fault("release.bad-path", `${path} is to be a shared folder, but something else stands there`, {
    next: "move it away on the shell server, then push again",
  });
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
