import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type Argv, run } from "#base/run.ts";
import { readBoxfile } from "#contract/boxfile.ts";
import type { CommitId } from "#contract/names.ts";
import { treeOf } from "#contract/repository-tree.ts";
import { asAccount } from "../../converge/as-account.ts";
import { removeTree } from "../../converge/remove-tree.ts";
import { GIT_ENVIRONMENT, type GitProcess, git, runGit, startGit } from "../../website/releases/git.ts";
import { parseListing } from "../../website/releases/listing.ts";

/** The account that builds; it exists on builders only. */
export const BUILDER = { name: "builder", uid: 19_999 };

/** On the builder's own disk, and gone with it. */
const WORK = "/srv/work";
const GIT_LIMIT_MS = 300_000;
/** Comes before what a tree's own .gitattributes say: what is built, and what is kept of it, has the bytes that it has. */
const ATTRIBUTES = "* -text -ident -filter !eol !working-tree-encoding\n";

interface BuildPlan {
  readonly commands: readonly string[];
  /** How long they may take; null when the Boxfile does not say. */
  readonly seconds: number | null;
}

/**
 * The place of one build: the commit's repository, which is root's, and a working tree with all else that git writes, which
 * are the builder's. Whatever works on what a tenant has made works with the builder's rights.
 */
export class Workshop {
  readonly repository: string;
  readonly tree: string;
  readonly #work: string;
  readonly #own: string;
  readonly #objects: string;
  readonly #index: string;
  readonly #script: string;

  constructor(work = WORK) {
    this.#work = work;
    this.repository = join(work, "repository.git");
    this.#own = join(work, "own");
    this.tree = join(this.#own, "tree");
    this.#objects = join(this.#own, "objects");
    this.#index = join(this.#own, "index");
    this.#script = join(work, "build.sh");
  }

  /** Empty, with nothing left of an earlier attempt. */
  async clear(): Promise<void> {
    await removeTree(this.#work);
    await mkdir(this.#work, { recursive: true, mode: 0o755 });
    await runGit(git.init(this.repository));
    await mkdir(join(this.repository, "info"), { recursive: true });
    await writeFile(join(this.repository, "info/attributes"), ATTRIBUTES, { mode: 0o644 });
    const owner = [`--owner=${BUILDER.uid}`, `--group=${BUILDER.uid}`];
    await run(["install", "-d", ...owner, "-m", "0755", this.#own, this.tree, this.#objects]);
  }

  /** How the commit's Boxfile has it built. */
  async plan(commit: CommitId, environment: string): Promise<BuildPlan> {
    const entries = parseListing(await runGit(git.listTree(this.repository, commit)));
    const entry = entries.find(({ path }) => path === "Boxfile");
    const content = entry === undefined ? null : await this.#git(["cat-file", "blob", entry.object]);
    const { boxfile } = readBoxfile(content, { label: environment, tree: treeOf(entries) });
    return { commands: boxfile?.build ?? [], seconds: boxfile?.buildSeconds ?? null };
  }

  async checkOut(commit: CommitId): Promise<void> {
    await this.#git(["read-tree", commit]);
    await this.#git(["checkout-index", "--all", "--force"]);
  }

  /** Gives the path of the script, which the builder's account reads and cannot change. */
  async writeScript(script: string): Promise<string> {
    await writeFile(this.#script, script, { mode: 0o644 });
    return this.#script;
  }

  /**
   * Makes a commit of all that the tree has now, what is ignored too; the same tree gives the same commit. Repositories
   * within it become plain folders.
   */
  async commit(source: CommitId): Promise<CommitId> {
    await run(this.#asBuilder(["find", this.tree, "-iname", ".git", "-prune", "-exec", "rm", "-rf", "{}", "+"]));
    await this.#git(["add", "--all", "--force", "."]);
    const tree = (await this.#git(["write-tree"])).trim();
    const date = (await this.#git(["show", "--no-patch", "--format=%cI", source])).trim();
    const identity = ["AUTHOR", "COMMITTER"].flatMap((who) => [
      `GIT_${who}_NAME=Boxyard`,
      `GIT_${who}_EMAIL=boxyard@localhost`,
      `GIT_${who}_DATE=${date}`,
    ]);
    return (await this.#git(["commit-tree", tree, "-p", source, "-m", `Built from ${source}`], identity)).trim();
  }

  /** Begins to write a pack with what a build has and its commit has not. */
  startPack(build: CommitId, source: CommitId, signal: AbortSignal): GitProcess {
    const command = ["pack-objects", "--quiet", "--thin", "--revs", "--delta-base-offset", "--stdout"];
    const packing = startGit(this.#command(command), signal);
    packing.stdin.end(`${build}\n^${source}\n`);
    return packing;
  }

  async #git(command: readonly string[], environment: readonly string[] = []): Promise<string> {
    const { stdout } = await run(this.#command(command, environment), {
      environment: GIT_ENVIRONMENT,
      timeoutMs: GIT_LIMIT_MS,
      cwd: this.tree,
    });
    return stdout;
  }

  #command(command: readonly string[], environment: readonly string[] = []): Argv {
    const where = [
      `GIT_OBJECT_DIRECTORY=${this.#objects}`,
      `GIT_ALTERNATE_OBJECT_DIRECTORIES=${this.repository}/objects`,
      `GIT_INDEX_FILE=${this.#index}`,
    ];
    const options = [
      `--git-dir=${this.repository}`,
      `--work-tree=${this.tree}`,
      "-c",
      "core.hooksPath=/dev/null",
      "-c",
      `safe.directory=${this.repository}`,
    ];
    return this.#asBuilder(["env", ...where, ...environment, "git", ...options, ...command]);
  }

  #asBuilder(command: Argv): Argv {
    return asAccount(BUILDER.uid, command);
  }
}
