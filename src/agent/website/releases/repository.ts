import { access, mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { CommitId } from "#contract/names.ts";
import { git, runGit } from "./git.ts";

const REFS = "refs/boxyard/releases";

/** The bare repository that a server keeps of a website: what it has staged, and nothing else. */
export interface ReleaseRepository {
  readonly directory: string;
  /** Whether the commit is there with all its objects. */
  has(commit: CommitId): Promise<boolean>;
  /** Commits that are there whole. */
  list(): Promise<CommitId[]>;
  /** The commit whose tree is the release of this one: itself, or what was built of it. Only of one that is there. */
  contentOf(commit: CommitId): Promise<CommitId>;
  /** Notes that a commit's content is there whole, which also keeps it from being collected. */
  keep(commit: CommitId, content: CommitId): Promise<void>;
  forget(commit: CommitId): Promise<void>;
}

/** Whether an object that a release needs is missing or damaged, by a disk or by hand. Takes as long as reading all of them. */
export async function isDamaged(directory: string, signal: AbortSignal): Promise<boolean> {
  return runGit(git.check(directory), signal).then(
    () => false,
    () => !signal.aborted,
  );
}

/** Opens the repository, making it when there is none. */
export async function openRepository(directory: string): Promise<ReleaseRepository> {
  const refs = `${directory}/${REFS}`;
  if (!(await isThere(`${directory}/HEAD`))) await runGit(git.init(directory));
  await mkdir(refs, { recursive: true });
  return {
    directory,
    has: (commit) => isThere(`${refs}/${commit}`),
    list: async () => (await readdir(refs)).filter((name) => CommitId.safeParse(name).success),
    contentOf: async (commit) => CommitId.parse((await readFile(`${refs}/${commit}`, "utf8")).trim()),
    keep: (commit, content) => writeFile(`${refs}/${commit}`, `${content}\n`),
    forget: (commit) => rm(`${refs}/${commit}`, { force: true }),
  };
}

async function isThere(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
