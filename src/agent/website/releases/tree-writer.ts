import { lchown, lstat, mkdir, open, rmdir, symlink, unlink, writeFile } from "node:fs/promises";
import { posix } from "node:path";
import { Fault } from "#base/fault.ts";
import { type Blob, collect } from "./object-reader.ts";

/** Blobs above this are written as they arrive, others in one go. */
const IN_ONE_GO_BYTES = 1 << 20;

/**
 * Changes a tree below its root without ever following a link: every folder on the way is looked at, files are made
 * anew (they share their inodes with older releases) and nothing that is there is written to.
 */
export class TreeWriter {
  readonly #root: string;
  readonly #realFolders = new Set<string>([".", ""]);

  constructor(root: string) {
    this.#root = root;
  }

  /** Takes files and links away, and the folders that are empty then; what is not there is no fault. */
  async remove(paths: readonly string[]): Promise<void> {
    const folders = new Set<string>();
    for (const path of paths) {
      await unlink(this.#at(path)).catch(ignore("ENOENT", "ENOTDIR"));
      folders.add(posix.dirname(path));
    }
    for (const folder of folders) await this.#pruneUpwards(folder);
  }

  async writeFile(path: string, { isExecutable, blob }: { isExecutable: boolean; blob: Blob }): Promise<void> {
    await this.makeFolder(posix.dirname(path));
    const options = { flag: "wx", mode: isExecutable ? 0o755 : 0o644 };
    if (blob.bytes <= IN_ONE_GO_BYTES) return writeFile(this.#at(path), await collect(blob), options);
    const file = await open(this.#at(path), options.flag, options.mode);
    try {
      for await (const chunk of blob.chunks) await file.writeFile(chunk);
    } finally {
      await file.close();
    }
  }

  async writeLink(path: string, target: string, owner: { uid: number; gid: number } | null = null): Promise<void> {
    await this.makeFolder(posix.dirname(path));
    await symlink(target, this.#at(path));
    if (owner !== null) await lchown(this.#at(path), owner.uid, owner.gid);
  }

  /** Makes the folder and those above it; refuses when one of them is a link or a file. */
  async makeFolder(path: string): Promise<void> {
    if (this.#realFolders.has(path)) return;
    await this.makeFolder(posix.dirname(path));
    await mkdir(this.#at(path), { mode: 0o755 }).catch(ignore("EEXIST"));
    if (!(await lstat(this.#at(path))).isDirectory())
      throw new Fault("release.bad-path", `${path} is to be a folder of the release, but is a file or a link in the commit`);
    this.#realFolders.add(path);
  }

  async #pruneUpwards(folder: string): Promise<void> {
    for (let at = folder; at !== "."; at = posix.dirname(at)) {
      const isGone = await rmdir(this.#at(at)).then(() => true, ignore("ENOTEMPTY", "ENOENT", "ENOTDIR"));
      if (isGone === false) return;
    }
  }

  #at(path: string): string {
    return `${this.#root}/${path}`;
  }
}

/** Turns these errors of the file system into `false`, rethrows others. */
function ignore(...codes: string[]): (thrown: NodeJS.ErrnoException) => false {
  return (thrown) => {
    if (thrown.code === undefined || !codes.includes(thrown.code)) throw thrown;
    return false;
  };
}
