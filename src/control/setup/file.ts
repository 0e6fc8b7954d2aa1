import { access, readFile } from "node:fs/promises";
import { writeFileAtomic } from "#base/atomic-file.ts";
import { run } from "#base/run.ts";

/** A file of a service, for its account. */
export interface OwnedFile {
  readonly path: string;
  readonly content: string;
  readonly owner: string;
  readonly group: string;
  readonly mode: number;
}

/** The files have these contents; gives whether any had to be written. */
export async function ensureFiles(files: readonly OwnedFile[]): Promise<boolean> {
  return (await Promise.all(files.map(ensureFile))).includes(true);
}

export async function isThere(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}

/** The file has this content; gives whether it had to be written. */
async function ensureFile({ path, content, owner, group, mode }: OwnedFile): Promise<boolean> {
  if ((await readFile(path, "utf8").catch(() => null)) === content) return false;
  await writeFileAtomic(path, content, { mode: 0o600 });
  await run(["chown", `${owner}:${group}`, path]);
  await run(["chmod", mode.toString(8), path]);
  return true;
}
