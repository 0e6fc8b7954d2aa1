import { readdir, rm } from "node:fs/promises";
import { CommitId } from "#contract/names.ts";
import type { SitePaths } from "../paths.ts";
import { git, runGit } from "./git.ts";
import { listStaged, type StagedRelease } from "./release-file.ts";
import { openRepository } from "./repository.ts";
import { readCommitLink, readLive } from "./switch.ts";

/** As many of the newest releases stay; the live one and the one before it stay anyway. */
export const KEPT_RELEASES = 5;

/** Which releases may go. */
export function planRemovals(newestFirst: readonly StagedRelease[], needed: ReadonlySet<string>): CommitId[] {
  return newestFirst
    .slice(KEPT_RELEASES)
    .map((staged) => staged.commit)
    .filter((commit) => !needed.has(commit));
}

/** Releases that are older than those kept. */
export async function findSurplus(paths: SitePaths): Promise<CommitId[]> {
  const needed = [await readLive(paths), await readCommitLink(paths.previous)].filter((commit) => commit !== null);
  return planRemovals(await listStaged(paths), new Set(needed));
}

/** Removes releases, and lets their objects be collected. */
export async function removeReleases(paths: SitePaths, commits: readonly CommitId[], signal: AbortSignal): Promise<void> {
  const repository = await openRepository(paths.repository);
  for (const commit of commits) {
    await rm(paths.release(commit), { recursive: true, force: true });
    await repository.forget(commit);
  }
  await forgetOrphans(paths);
  await runGit(git.collectGarbage(paths.repository), signal);
}

/** Commits that were fetched but never became a release. */
async function forgetOrphans(paths: SitePaths): Promise<void> {
  const repository = await openRepository(paths.repository);
  const staged = new Set((await readdir(paths.releases)).filter((name) => CommitId.safeParse(name).success));
  for (const commit of await repository.list()) if (!staged.has(commit)) await repository.forget(commit);
}
