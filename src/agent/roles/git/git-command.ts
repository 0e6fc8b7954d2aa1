import type { Argv } from "#base/run.ts";
import type { CommitId } from "#contract/names.ts";
import { asAccount } from "../../converge/as-account.ts";

/** No commit: what Git writes for a ref that is not there. */
export const NO_COMMIT: CommitId = "0".repeat(40);

/** The ref of a branch. */
export function branchRef(branch: string): string {
  return `refs/heads/${branch}`;
}

/** The ref of a tag. */
export function tagRef(tag: string): string {
  return `refs/tags/${tag}`;
}

/** Where what was built is kept. */
export const BUILDS = "refs/boxyard/builds";

/** The ref of what was built of a tree. */
export function buildRef(tree: string): string {
  return `${BUILDS}/${tree}`;
}

/** Commands on a website's repository on the git server. */
export const gitCommand = {
  init: (path: string): Argv => ["git", "init", "--quiet", "--bare", "--template=", "--", path],
  readRef: (path: string, ref: string): Argv => of(path, "rev-parse", "--verify", "--quiet", "--end-of-options", ref),
  /** Moves the ref only when it still is at `from`; NO_COMMIT stands for a ref that is not there. */
  moveRef: (path: string, { ref, from, to }: RefMove): Argv =>
    to === NO_COMMIT ? of(path, "update-ref", "--no-deref", "-d", ref, from) : of(path, "update-ref", "--no-deref", ref, to, from),
  objectType: (path: string, object: string): Argv => of(path, "cat-file", "-t", object),
  listTree: (path: string, commit: CommitId): Argv => of(path, "ls-tree", "-r", "-l", "-z", "--full-tree", commit),
  describeObjects: (path: string): Argv => of(path, "cat-file", "--batch-check"),
  objects: (path: string): Argv => of(path, "cat-file", "--batch"),
  parents: (path: string, commit: CommitId): Argv => of(path, "rev-list", "--parents", "--max-count=1", commit),
  /** Each ref of a folder with what it points at, the newest commit first. */
  listRefs: (path: string, folder: string): Argv =>
    of(path, "for-each-ref", "--sort=-creatordate", "--format=%(refname) %(objectname)", folder),
  takePack: (path: string, limitBytes: number): Argv =>
    of(path, "index-pack", "--stdin", "--strict", "--fix-thin", `--max-input-size=${limitBytes}`),
  pack: (path: string): Argv => of(path, "pack-objects", "--quiet", "--thin", "--revs", "--delta-base-offset", "--stdout"),
};

export interface RefMove {
  readonly ref: string;
  readonly from: CommitId;
  readonly to: CommitId;
}

/** The command with the rights of an account instead of the agent's; as it is when there is none. */
export function asUser(uid: number | null, command: Argv): Argv {
  return uid === null ? command : asAccount(uid, command);
}

function of(path: string, ...rest: string[]): Argv {
  return ["git", `--git-dir=${path}`, "-c", "core.hooksPath=/dev/null", ...rest];
}
