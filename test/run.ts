/** Runs every check of the project in order, cheap ones first, and counts: `node test/run.ts [stage|--faults|--all] [file…]`. */
import { mkdir, readFile, rm } from "node:fs/promises";
import { execa } from "execa";
import { ensureHostPackages } from "./harness/host-packages.ts";

interface Count {
  passed: number;
  failed: number;
}

interface Stage {
  readonly name: string;
  readonly run: (files: readonly string[]) => Promise<Count>;
}

const NODE = process.execPath;
const ARTIFACTS = "artifacts";

const stages: readonly Stage[] = [
  { name: "lint", run: () => check("node_modules/@biomejs/biome/bin/biome", "check", "--error-on-warnings", ".") },
  { name: "types", run: () => check("node_modules/ts7/bin/tsc", "--noEmit") },
  {
    name: "imports",
    run: () => check("node_modules/.bin/depcruise", "--config", ".dependency-cruiser.cjs", "src", "test"),
  },
  { name: "unused", run: () => check("node_modules/knip/bin/knip.js", "--no-progress") },
  { name: "unit", run: (files) => vitest("unit", files) },
  { name: "yard", run: (files) => vitest("yard", files) },
];

/** What takes longer than ten minutes is run when it is asked for. */
const longStages: readonly Stage[] = [
  ...["faults", "requests", "attacks", "applications"].map((name) => ({ name, run: (files: readonly string[]) => vitest(name, files) })),
  // A yard of its own: where three brokers are, other things happen when one is killed than the suite's files expect.
  { name: "brokers", run: (files) => vitest("brokers", files, { BOXYARD_TEST_YARD: process.env["BOXYARD_TEST_YARD"] ?? "three" }) },
];

const [given, ...files] = process.argv.slice(2);
const wanted = given?.replace(/^--/, "");
const chosen = stagesOf(wanted);
if (chosen.length === 0) {
  console.error(`no stage “${wanted}”; there are: ${[...stages, ...longStages].map((stage) => stage.name).join(", ")}, all`);
  process.exit(2);
}
process.exitCode = await runStages(chosen, files);

function stagesOf(wanted: string | undefined): readonly Stage[] {
  if (wanted === undefined) return stages;
  const all = [...stages, ...longStages];
  return wanted === "all" ? all : all.filter(({ name }) => name === wanted);
}

async function runStages(chosen: readonly Stage[], files: readonly string[]): Promise<number> {
  const total: Count = { passed: 0, failed: 0 };
  await mkdir(ARTIFACTS, { recursive: true });
  await ensureHostPackages(chosen.map((stage) => stage.name));
  for (const stage of chosen) {
    const startedAt = performance.now();
    console.log(`\n── ${stage.name}`);
    const count = await stage.run(files);
    total.passed += count.passed;
    total.failed += count.failed;
    console.log(
      `── ${stage.name}: ${count.passed} passed, ${count.failed} failed in ${((performance.now() - startedAt) / 1000).toFixed(1)} s`,
    );
  }
  console.log(`\n${total.passed} passed, ${total.failed} failed`);
  return total.failed === 0 ? 0 : 1;
}

/** A tool that passes or fails as a whole. */
async function check(script: string, ...args: string[]): Promise<Count> {
  const { exitCode } = await execa(NODE, [script, ...args], { stdio: ["ignore", "inherit", "inherit"], reject: false });
  return exitCode === 0 ? { passed: 1, failed: 0 } : { passed: 0, failed: 1 };
}

/** Vitest counts its tests itself; a run that breaks before it could count is one failure. */
async function vitest(project: string, files: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<Count> {
  const report = `${ARTIFACTS}/${project}-tests.json`;
  await rm(report, { force: true });
  const args = ["run", "--project", project, "--reporter=default", "--reporter=json", `--outputFile.json=${report}`, ...files];
  const { exitCode } = await execa(NODE, ["node_modules/vitest/vitest.mjs", ...args], {
    stdio: ["ignore", "inherit", "inherit"],
    reject: false,
    env,
  });
  const counted = (await readFile(report, "utf8").then(JSON.parse, () => null)) as Report | null;
  if (counted === null) return { passed: 0, failed: 1 };
  const failed =
    counted.numFailedTests + counted.testResults.filter((file) => file.status === "failed" && file.assertionResults.length === 0).length;
  return { passed: counted.numPassedTests, failed: Math.max(failed, exitCode === 0 ? 0 : 1) };
}

interface Report {
  readonly numPassedTests: number;
  readonly numFailedTests: number;
  readonly testResults: readonly { readonly status: string; readonly assertionResults: readonly unknown[] }[];
}
