/**
 * Plants one-line faults into the parts that decide what servers do, and looks whether the unit tests notice:
 * `bin/test --mutations [--seed N] [--count N] [--jobs N] [--only PATH] [--list]`. Exits with 1 when more than one in ten is not noticed.
 */
import { existsSync } from "node:fs";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { availableParallelism, tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { execa } from "execa";
import { ensureHostPackages } from "../harness/host-packages.ts";
import { ensureServer, stopServer } from "../harness/postgres-server.ts";
import { drawInTurn, randomFrom } from "./draw.ts";
import { nearestTests, readImporters } from "./nearest.ts";
import { listFaults, type PlantedFault } from "./places.ts";
import { type Catch, Trials } from "./trial.ts";

const ROOT = resolve(import.meta.dirname, "../..");
/** Each gives as many faults as the others, whatever its size. */
const AREAS = ["src/control/plan/", "src/control/deploy/", "src/agent/converge/", "src/agent/roles/", "src/control/rotation/"];
/** So many test files a fault gets, the nearest: who breaks it would look for long for what only a test far away notices. */
const MOST_TESTS = 6;

interface Verdict {
  readonly fault: PlantedFault;
  /** What noticed it; null when nothing did. */
  readonly by: Catch | null;
  /** Those that were tried, or would have been. */
  readonly tests: readonly string[];
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
const listed = (await execa("git", ["ls-files", "--cached", "--others", "--exclude-standard"], { cwd: ROOT })).stdout.split("\n");
const files = listed.filter((file) => existsSync(join(ROOT, file)));
const importers = await readImporters(
  ROOT,
  files.filter((file) => file.endsWith(".ts")),
);
const drawn = drawInTurn(await listByArea(), Number(values.count), randomFrom(Number(values.seed)));
if (drawn.length === 0) throw new Error("there is no fault to plant: see --only and --count");
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
  const postgresFolder = await mkdtemp(join(tmpdir(), "boxyard-postgres-"));
  const startedAt = performance.now();
  try {
    await ensureServer(postgresFolder);
    const trials = await Trials.begin({ root: ROOT, files, postgresFolder });
    try {
      return await conclude(await tryInTurn(trials, faults, jobs), performance.now() - startedAt);
    } finally {
      await trials.end();
    }
  } finally {
    await stopServer(postgresFolder).catch(() => undefined);
    await rm(postgresFolder, { recursive: true, force: true });
  }
}

async function tryInTurn(trials: Trials, faults: readonly PlantedFault[], jobs: number): Promise<Verdict[]> {
  const waiting = [...faults];
  const verdicts: Verdict[] = [];
  const work = async (): Promise<void> => {
    const tree = await trials.openTree();
    try {
      for (let fault = waiting.shift(); fault !== undefined; fault = waiting.shift()) {
        const startedAt = performance.now();
        const tests = nearestTests(fault.file, importers).slice(0, MOST_TESTS);
        const verdict = { fault, by: await trials.try(tree, fault, tests), tests, durationMs: performance.now() - startedAt };
        if (isStopped) return;
        verdicts.push(verdict);
        await report(verdict, verdicts.length, faults.length);
      }
    } finally {
      await rm(tree, { recursive: true, force: true });
    }
  };
  let isStopped = false;
  const stop = (): void => {
    isStopped = true;
    waiting.length = 0;
    trials.stop();
  };
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, stop);
  await Promise.all(Array.from({ length: Math.min(jobs, faults.length) }, work));
  return verdicts;
}

async function report({ fault, by, tests, durationMs }: Verdict, nth: number, count: number): Promise<void> {
  const how = by === null ? `SURVIVED ${tests.length} test files` : `caught by ${by.file}: “${by.test}”`;
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
  if (verdicts.length < drawn.length) console.log(`${drawn.length - verdicts.length} were not tried`);
  return caught >= 0.9 * drawn.length ? 0 : 1;
}
