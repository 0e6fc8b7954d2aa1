import { mkdir, open, rename, rm } from "node:fs/promises";
import { dirname } from "node:path";

export interface AtomicFileOptions {
  /** Permission bits; 0o644 by default. */
  readonly mode?: number;
  readonly uid?: number;
  readonly gid?: number;
}

/** Writes the file so that readers see the old or the new content, never a part, and the new one survives a power loss. */
export async function writeFileAtomic(path: string, content: string | Uint8Array, options: AtomicFileOptions = {}): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  const temporary = `${path}.${process.pid}.${Math.random().toString(36).slice(2)}.new`;
  try {
    const file = await open(temporary, "wx", 0o600);
    try {
      await file.writeFile(content);
      // By the open file: in a website's own directory another one could lie at its path by now.
      if (options.uid !== undefined || options.gid !== undefined) await file.chown(options.uid ?? 0, options.gid ?? 0);
      await file.chmod(options.mode ?? 0o644);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  } catch (thrown) {
    await rm(temporary, { force: true });
    throw thrown;
  }
}
