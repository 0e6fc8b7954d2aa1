import { readdir, rm } from "node:fs/promises";
import { CommitId } from "#contract/names.ts";
import type { SitePaths } from "../paths.ts";
import { git, runGit } from "./git.ts";
import { listStaged } from "./release-file.ts";
import { openRepository } from "./repository.ts";
import { readCommitLink, readLive } from "./switch.ts";

/** Staged releases that nobody needs: not those in `kept`, the live one, the one before it, or the newest, which may go live in a moment. */
export async function findSurplus(paths: SitePaths, kept: Iterable<CommitId>): Promise<CommitId[]> {
  const [newest, ...others] = (await listStaged(paths)).map(({ commit }) => commit);
  const needed = new Set([...kept, readLive(paths), readCommitLink(paths.previous), newest]);
  return others.filter((commit) => !needed.has(commit));
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
