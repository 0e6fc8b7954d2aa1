import { copyFile, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { execa } from "execa";
import { type PlantedFault, plant } from "./places.ts";

/** A run of some test files that does not end by then counts as failed. */
const LONGEST_MS = 10 * 60_000;
/** The nearest alone, as it is the likeliest; then some at a time, because to start a run takes seconds. */
const FIRST = 1;
const AT_ONCE = 3;
/** More than a test gets otherwise: that the machine is busy is not to count as a test that waits in vain. */
const TEST_MS = 90_000;
/** Vitest's own words, for a test and for a hook. */
const LATE = /timed out in \d+ms/;

/** What noticed a fault: a test, or `bin/test types`. */
export interface Catch {
  readonly file: string;
  readonly test: string;
}

const TYPES: Catch = { file: "bin/test types", test: "the type checker refuses it" };

interface Failure {
  /** Both null when the run has reported nothing. */
  readonly file: string | null;
  readonly test: string | null;
  /** A test has waited in vain, or a file failed outside of its tests, where nothing is tried again: on a busy machine that proves little. */
  readonly isDoubtful: boolean;
}

export interface TrialsWant {
  readonly root: string;
  readonly files: readonly string[];
  /** Where the PostgreSQL for all runs listens. */
  readonly postgresFolder: string;
}

/** Runs tests in copies of a tree, with a fault and without; what a file does without one is found out once, when it is asked for. */
export class Trials {
  readonly #want: TrialsWant;
  readonly #rightTree: string;
  readonly #rightly = new Map<string, Promise<boolean>>();
  readonly #running = new Set<number>();
  #isStopped = false;

  private constructor(want: TrialsWant, rightTree: string) {
    this.#want = want;
    this.#rightTree = rightTree;
  }

  static async begin(want: TrialsWant): Promise<Trials> {
    return new Trials(want, await copyTree(want));
  }

  async end(): Promise<void> {
    this.stop();
    await rm(this.#rightTree, { recursive: true, force: true });
  }

  /** Ends what runs at the moment, with all that it has started, and runs nothing any more. */
  stop(): void {
    this.#isStopped = true;
    for (const pid of this.#running) endGroup(pid);
  }

  /** A place to try one fault after the other in; a second can be used at the same time. */
  async openTree(): Promise<string> {
    return copyTree(this.#want);
  }

  /** The first of the test files to notice the fault, or else the type checker; null when none does. */
  async try(tree: string, fault: PlantedFault, tests: readonly string[]): Promise<Catch | null> {
    const path = join(tree, fault.file);
    const right = await readFile(path, "utf8");
    await writeFile(path, plant(right, fault));
    try {
      for (const some of portions(tests)) {
        const caught = await this.#findCatch(tree, some);
        if (caught !== null) return caught;
      }
      return (await this.#isRefusedByTypes(tree)) && !(await this.#isRefusedByTypes(this.#rightTree)) ? TYPES : null;
    } finally {
      await writeFile(path, right);
    }
  }

  async #findCatch(tree: string, tests: readonly string[]): Promise<Catch | null> {
    const failure = await this.#run(tree, tests);
    if (failure === null) return null;
    const suspect = failure.file ?? (tests.length === 1 ? (tests[0] ?? null) : null);
    if (suspect !== null && (await this.#isBecauseOfFault(tree, suspect, failure)))
      return { file: suspect, test: failure.test ?? "does not end, or does not begin" };
    // The run has ended at the first failure, which means nothing: the others had no chance.
    for (const test of tests.filter((one) => one !== suspect)) {
      const caught = await this.#findCatch(tree, [test]);
      if (caught !== null) return caught;
    }
    return null;
  }

  async #isBecauseOfFault(tree: string, test: string, { isDoubtful }: Failure): Promise<boolean> {
    if (!(await this.#passesRightly(test))) return false;
    return !isDoubtful || (await this.#run(tree, [test])) !== null;
  }

  /** Whether a test file passes without any fault. */
  #passesRightly(test: string): Promise<boolean> {
    const known = this.#rightly.get(test) ?? this.#findOut(test);
    this.#rightly.set(test, known);
    return known;
  }

  async #findOut(test: string): Promise<boolean> {
    // A second try, because a test that fails once in a while would hide what it notices.
    return (await this.#run(this.#rightTree, [test])) === null || (await this.#run(this.#rightTree, [test])) === null;
  }

  async #isRefusedByTypes(tree: string): Promise<boolean> {
    if (this.#isStopped) return false;
    const { exitCode } = await execa(process.execPath, ["node_modules/ts7/bin/tsc", "--noEmit"], {
      cwd: tree,
      reject: false,
      stdio: "ignore",
      timeout: LONGEST_MS,
    });
    return exitCode !== 0;
  }

  /** The first failure of these test files. */
  async #run(tree: string, tests: readonly string[]): Promise<Failure | null> {
    if (this.#isStopped) return null;
    const report = join(tree, `artifacts-of-mutation-${process.hrtime.bigint()}.json`);
    // A test that fails is tried once more at once: what notices a fault notices it again.
    const limits = ["--bail=1", "--retry=1", "--maxWorkers=1", `--testTimeout=${TEST_MS}`, `--hookTimeout=${TEST_MS}`];
    const args = ["run", "--project=unit", ...limits, "--reporter=json", `--outputFile=${report}`, ...tests];
    const subprocess = execa(process.execPath, ["node_modules/vitest/vitest.mjs", ...args], {
      cwd: tree,
      reject: false,
      stdio: "ignore",
      // A group of its own: a worker in an endless loop does not hear that its parent is gone.
      detached: true,
      env: { CI: undefined, BOXYARD_TEST_REPORT: undefined, BOXYARD_TEST_POSTGRES: this.#want.postgresFolder },
    });
    const { pid } = subprocess;
    if (pid === undefined) throw new Error(`vitest cannot be started in ${tree}`);
    this.#running.add(pid);
    const limit = setTimeout(() => endGroup(pid), LONGEST_MS);
    try {
      const { exitCode } = await subprocess;
      return exitCode === 0 ? null : await readFailure(report, tests);
    } finally {
      clearTimeout(limit);
      endGroup(pid);
      this.#running.delete(pid);
      await rm(report, { force: true });
    }
  }
}

/** The tree as it is, uncommitted changes too. */
async function copyTree({ root, files }: Pick<TrialsWant, "root" | "files">): Promise<string> {
  const tree = await mkdtemp(join(tmpdir(), "boxyard-mutation-"));
  for (const file of files) {
    await mkdir(dirname(join(tree, file)), { recursive: true });
    await copyFile(join(root, file), join(tree, file));
  }
  await symlink(join(root, "node_modules"), join(tree, "node_modules"));
  // Some tests ask Git which files belong to the tree.
  await execa("git", ["init", "--quiet"], { cwd: tree });
  await execa("git", ["add", "--all"], { cwd: tree });
  return tree;
}

function portions(tests: readonly string[]): string[][] {
  const all = [tests.slice(0, FIRST)];
  for (let from = FIRST; from < tests.length; from += AT_ONCE) all.push(tests.slice(from, from + AT_ONCE));
  return all.filter((some) => some.length > 0);
}

function endGroup(pid: number): void {
  try {
    process.kill(-pid, "SIGKILL");
  } catch {
    // All of it has ended by itself.
  }
}

interface Report {
  readonly testResults: readonly {
    readonly name: string;
    readonly status: string;
    readonly message: string;
    readonly assertionResults: readonly {
      readonly fullName: string;
      readonly status: string;
      readonly failureMessages: readonly string[] | null;
    }[];
  }[];
}

async function readFailure(path: string, tests: readonly string[]): Promise<Failure> {
  const report = (await readFile(path, "utf8").then(JSON.parse, () => null)) as Report | null;
  const failed = report?.testResults.find(({ status }) => status === "failed");
  const test = failed?.assertionResults.find(({ status }) => status === "failed");
  const file = tests.find((one) => failed?.name.endsWith(one)) ?? null;
  const words = [failed?.message ?? "", ...(test?.failureMessages ?? [])].join("\n");
  return { file, test: test?.fullName.trim() ?? (words.split("\n")[0] || null), isDoubtful: test === undefined || LATE.test(words) };
}
