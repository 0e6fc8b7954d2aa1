import { randomBytes } from "node:crypto";
import { access, readdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { run } from "#base/run.ts";
import type { SitePaths } from "../paths.ts";
import type { StagedRelease } from "./release-file.ts";

type Base = Pick<StagedRelease, "commit" | "overlayKey">;

const ENDING = ".spare";

/**
 * A spare is a copy of a release that the next one is made from, so that staging costs what has changed and not what the
 * site has. It consists of hard links, and is made when nobody waits for it.
 */
export async function hasSpare(paths: SitePaths, base: Base): Promise<boolean> {
  return access(sparePath(paths, base)).then(
    () => true,
    () => false,
  );
}

/** Makes the spare of a release, and removes those of others. */
export async function makeSpare(paths: SitePaths, base: Base, signal: AbortSignal): Promise<void> {
  const path = sparePath(paths, base);
  for (const name of await readdir(paths.releases))
    if (name.endsWith(ENDING) && join(paths.releases, name) !== path)
      await rm(join(paths.releases, name), { recursive: true, force: true });
  if (await hasSpare(paths, base)) return;
  const temporary = `${path}.tmp-${randomBytes(6).toString("hex")}`;
  try {
    await copyByLinks(paths.release(base.commit), temporary, signal);
    await rename(temporary, path);
  } catch (thrown) {
    await rm(temporary, { recursive: true, force: true });
    throw thrown;
  }
}

/** A copy of the release, for the caller to change: its spare when there is one. */
export async function copyOf(paths: SitePaths, base: Base, target: string, signal: AbortSignal): Promise<void> {
  const isTaken = await rename(sparePath(paths, base), target).then(
    () => true,
    () => false,
  );
  if (!isTaken) await copyByLinks(paths.release(base.commit), target, signal);
}

/** The commit may have been staged anew with another overlay since. */
function sparePath(paths: SitePaths, { commit, overlayKey }: Base): string {
  return `${paths.release(commit)}.${overlayKey.slice(0, 16)}${ENDING}`;
}

async function copyByLinks(from: string, to: string, signal: AbortSignal): Promise<void> {
  await run(["cp", "-al", "-T", "--", from, to], { signal });
}
