/**
 * Plants one-line faults into the parts that decide what servers do, and looks whether the unit tests notice:
 * `bin/test --mutations [--seed N] [--count N] [--jobs N] [--only PATH] [--list]`. Exits with 1 when more than one in ten is not noticed.
 */
import { copyFile, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { availableParallelism, tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { execa } from "execa";
import { ensureHostPackages } from "../harness/host-packages.ts";
import { drawInTurn, randomFrom } from "./draw.ts";
import { type Importers, nearestTests, readImporters } from "./nearest.ts";
import { listFaults, type PlantedFault, plant } from "./places.ts";

const ROOT = resolve(import.meta.dirname, "../..");
/** Each gives as many faults as the others, whatever its size. */
const AREAS = ["src/control/plan/", "src/control/deploy/", "src/agent/converge/", "src/agent/roles/", "src/control/rotation/"];
/** A fault by which the tests do not end counts as noticed. */
const LONGEST_MS = 10 * 60_000;

interface Verdict {
  readonly fault: PlantedFault;
  /** The test that noticed it; null when none did. */
  readonly by: string | null;
  readonly durationMs: number;
}

const { values } = parseArgs({
  options: {
    seed: { type: "string", default: "1" },
    count: { type: "string", default: "30" },
    list: { type: "boolean", default: false },
    only: { type: "string", default: "" },
    jobs: { type: "string", default: String(availableParallelism()) },
  },
});
const files = (await execa("git", ["ls-files", "--cached", "--others", "--exclude-standard"], { cwd: ROOT })).stdout.split("\n");
const importers = await readImporters(
  ROOT,
  files.filter((file) => file.endsWith(".ts")),
);
const drawn = drawInTurn(await listByArea(), Number(values.count), randomFrom(Number(values.seed)));
console.log(`${drawn.length} faults of seed ${values.seed}`);
if (values.list) for (const fault of drawn) console.log(await describe(fault));
else process.exitCode = await tryAll(drawn, Number(values.jobs));

async function listByArea(): Promise<PlantedFault[][]> {
  const isMeant = (file: string) => file.startsWith(values.only) && file.endsWith(".ts") && !file.endsWith(".test.ts");
  const inArea = (area: string) => files.filter((file) => file.startsWith(area) && isMeant(file));
  return Promise.all(
    AREAS.map(async (area) =>
      (await Promise.all(inArea(area).map(async (file) => listFaults(file, await readFile(join(ROOT, file), "utf8"))))).flat(),
    ),
  );
}

async function tryAll(faults: readonly PlantedFault[], jobs: number): Promise<number> {
  await ensureHostPackages(["unit"]);
  const startedAt = performance.now();
  const waiting = [...faults];
  const verdicts: Verdict[] = [];
  const work = async (): Promise<void> => {
    const tree = await copyTree();
    try {
      for (let fault = waiting.shift(); fault !== undefined; fault = waiting.shift()) {
        const verdict = await tryOne(tree, fault, importers);
        verdicts.push(verdict);
        await report(verdict, verdicts.length, faults.length);
      }
    } finally {
      await rm(tree, { recursive: true, force: true });
    }
  };
  await Promise.all(Array.from({ length: Math.min(jobs, faults.length) }, work));
  return conclude(verdicts, performance.now() - startedAt);
}

/** The tree as it is here, uncommitted changes too. */
async function copyTree(): Promise<string> {
  const tree = await mkdtemp(join(tmpdir(), "boxyard-mutation-"));
  for (const file of files) {
    await mkdir(dirname(join(tree, file)), { recursive: true });
    await copyFile(join(ROOT, file), join(tree, file));
  }
  await symlink(join(ROOT, "node_modules"), join(tree, "node_modules"));
  // Some tests ask Git which files belong to the tree.
  await execa("git", ["init", "--quiet"], { cwd: tree });
  await execa("git", ["add", "--all"], { cwd: tree });
  return tree;
}

async function tryOne(tree: string, fault: PlantedFault, known: Importers): Promise<Verdict> {
  const startedAt = performance.now();
  const path = join(tree, fault.file);
  const right = await readFile(path, "utf8");
  const write = (text: string): Promise<void> => writeFile(path, text);
  let by: string | null = null;
  for (const tests of nearestTests(fault.file, known)) {
    await write(plant(right, fault));
    const failed = await failing(tree, tests);
    await write(right);
    // What also fails without the fault has noticed nothing.
    by = (await Promise.all(failed.map(async (test) => ((await failing(tree, [test])).length === 0 ? test : null)))).find(Boolean) ?? null;
    if (by !== null) break;
  }
  return { fault, by, durationMs: performance.now() - startedAt };
}

/** Those of the test files that fail, the first at least. */
async function failing(tree: string, tests: readonly string[]): Promise<string[]> {
  const report = join(tree, "artifacts-of-mutation.json");
  await rm(report, { force: true });
  const args = ["run", "--project", "unit", "--bail", "1", "--maxWorkers", "1", "--reporter=json", `--outputFile=${report}`, ...tests];
  const { exitCode } = await execa(process.execPath, ["node_modules/vitest/vitest.mjs", ...args], {
    cwd: tree,
    reject: false,
    stdio: "ignore",
    timeout: LONGEST_MS,
    killSignal: "SIGKILL",
    env: { CI: undefined },
  });
  if (exitCode === 0) return [];
  const told = (await readFile(report, "utf8").then(JSON.parse, () => null)) as Report | null;
  const names = (told?.testResults ?? []).filter(({ status }) => status === "failed").map(({ name }) => name);
  const failed = tests.filter((test) => names.some((name) => name.endsWith(test)));
  return failed.length > 0 ? failed : tests.slice(0, 1);
}

interface Report {
  readonly testResults: readonly { readonly name: string; readonly status: string }[];
}

async function report({ fault, by, durationMs }: Verdict, nth: number, count: number): Promise<void> {
  const how = by === null ? "SURVIVED" : `caught by ${by}`;
  console.log(`\n[${nth}/${count}] ${how} (${Math.round(durationMs / 1000)} s)\n${await describe(fault)}`);
}

async function describe(fault: PlantedFault): Promise<string> {
  const before = await readFile(join(ROOT, fault.file), "utf8");
  const line = before.slice(0, fault.start).split("\n").length;
  const from = before.lastIndexOf("\n", fault.start - 1) + 1;
  const rest = before.indexOf("\n", Math.max(fault.end - 1, fault.start));
  const to = rest < 0 ? before.length : rest;
  const after = before.slice(from, fault.start) + fault.replacement + before.slice(fault.end, Math.max(to, fault.end));
  const lines = (sign: string, text: string) => text.split("\n").map((one) => `${sign} ${one}`);
  const changed = [...lines("-", before.slice(from, to)), ...(after.trim() === "" ? [] : lines("+", after))];
  return [`${fault.file}:${line} ${fault.kind}`, ...changed].join("\n");
}

async function conclude(verdicts: readonly Verdict[], durationMs: number): Promise<number> {
  const survivors = verdicts.filter(({ by }) => by === null);
  console.log(`\n── survivors: ${survivors.length === 0 ? "none" : ""}`);
  for (const { fault } of survivors) console.log(`${await describe(fault)}\n`);
  const caught = verdicts.length - survivors.length;
  console.log(`${caught} of ${verdicts.length} faults of seed ${values.seed} were caught in ${Math.round(durationMs / 1000)} s`);
  return caught >= 0.9 * verdicts.length ? 0 : 1;
}
