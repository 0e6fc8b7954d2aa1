import { constants } from "node:fs";
import { type FileHandle, mkdir, open } from "node:fs/promises";

/**
 * A directory that is held open. What is done at one of its names concerns this directory, wherever its own path leads
 * meanwhile: root works that way in trees in which a tenant renames and links. Node has no openat(2); names below
 * `/proc/self/fd` are resolved by the kernel in the same way.
 */
export class HeldDirectory {
  readonly #handle: FileHandle;

  private constructor(handle: FileHandle) {
    this.#handle = handle;
  }

  /** Rejects with ELOOP or ENOTDIR when the path's last name is a link or no directory. */
  static async open(path: string): Promise<HeldDirectory> {
    return new HeldDirectory(await open(path, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW));
  }

  /** A path for this name in the directory; the name has no slash. */
  at(name: string): string {
    return `/proc/self/fd/${this.#handle.fd}/${name}`;
  }

  /** Opens the directory of this name in it. */
  enter(name: string): Promise<HeldDirectory> {
    return HeldDirectory.open(this.at(name));
  }

  /** The same, and makes it when it is not there: it gets the owner of the directory in which it lies. */
  async enterOrMake(name: string): Promise<HeldDirectory> {
    const isMade = await mkdir(this.at(name), { mode: 0o755 }).then(() => true, unlessItIsThere);
    const entered = await this.enter(name);
    if (!isMade) return entered;
    try {
      const { uid, gid } = await this.#handle.stat();
      await entered.#handle.chown(uid, gid);
      return entered;
    } catch (thrown) {
      await entered.close();
      throw thrown;
    }
  }

  /** Whether nobody but root decides what lies in it. */
  async isRoots(): Promise<boolean> {
    const { uid, mode } = await this.#handle.stat();
    return uid === 0 && (mode & 0o022) === 0;
  }

  close(): Promise<void> {
    return this.#handle.close();
  }
}

function unlessItIsThere(thrown: NodeJS.ErrnoException): false {
  if (thrown.code !== "EEXIST") throw thrown;
  return false;
}
