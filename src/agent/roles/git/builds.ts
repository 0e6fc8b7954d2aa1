import type { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { Fault } from "#base/fault.ts";
import type { CommitId } from "#contract/names.ts";
import type { WorkLimits } from "#contract/work-settings.ts";
import { BUILDS, buildRef } from "./git-command.ts";
import type { Repository } from "./repository.ts";
import { listCommit, refuseOversize } from "./tree-listing.ts";

const TIMEOUT_MS = 600_000;
/** So many of the newest are kept in any case. */
const KEPT = 5;

/**
 * What was built of a tree: a commit on top of the one that it was built of first, with all that the release has.
 * Null when there is none.
 */
export function findBuild(repository: Repository, tree: string): Promise<CommitId | null> {
  return repository.readRef(buildRef(tree));
}

/** What a builder brings. */
interface Brought {
  readonly commit: CommitId;
  readonly build: CommitId;
  readonly pack: Readable;
}

/** Takes a build of the commit; the first that comes stays. Fault "git.bad-build" when it is none, or larger than a release may be. */
export async function takeBuild(
  repository: Repository,
  { commit, build, pack }: Brought,
  limits: Pick<WorkLimits, "releaseMegabytes">,
): Promise<void> {
  const taking = repository.takePack(limits.releaseMegabytes * 1_048_576, AbortSignal.timeout(TIMEOUT_MS));
  taking.stdout.resume();
  const [piped] = await Promise.allSettled([pipeline(pack, taking.stdin)]);
  await taking.ended.catch((cause: unknown) => {
    throw new Fault("git.bad-build", "git does not take the build", { cause });
  });
  if (piped.status === "rejected") throw piped.reason;
  const tree = await repository.readRef(`${commit}^{tree}`);
  const isOfCommit = (await repository.hasCommit(build)) && (await repository.parents(build)).join() === commit;
  if (tree === null || !isOfCommit) throw new Fault("git.bad-build", `${build} is no build of ${commit}`);
  const { entries } = await listCommit(repository, build);
  const [oversize, ...largest] = refuseOversize(entries, limits);
  if (oversize !== undefined) throw new Fault("git.bad-build", [`what was built is too large: ${oversize}`, ...largest].join("\n"));
  await repository.moveRef(buildRef(tree), null, build);
}

/**
 * Takes the older builds away that were not made of one of these commits. What is not pointed at any more is collected by Git
 * itself after two weeks, so that a server that is fetching one gets it whole.
 */
export async function pruneBuilds(repository: Repository, needed: readonly CommitId[]): Promise<void> {
  const builds = await repository.listRefs(BUILDS);
  if (builds.length <= KEPT) return;
  const trees = await repository.describe(needed.map((commit) => `${commit}^{tree}`));
  const kept = new Set(trees.flatMap((tree) => (tree === null ? [] : [buildRef(tree.id)])));
  for (const { ref, commit } of builds.slice(KEPT)) if (!kept.has(ref)) await repository.moveRef(ref, commit, null);
}
