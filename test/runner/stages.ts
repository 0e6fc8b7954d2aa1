import { readFile, rm } from "node:fs/promises";
import { execa } from "execa";
import type { StageName } from "./arguments.ts";
import type { Report } from "./reporter.ts";

export const ARTIFACTS = "artifacts";
const NODE = process.execPath;

/** A tool that passes or fails as a whole, by the stage that it is. */
const CHECKS: Partial<Record<StageName, readonly string[]>> = {
  lint: ["node_modules/@biomejs/biome/bin/biome", "check", "--error-on-warnings", "."],
  types: ["node_modules/ts7/bin/tsc", "--noEmit"],
  imports: ["node_modules/.bin/depcruise", "--config", ".dependency-cruiser.cjs", "src", "test"],
  unused: ["node_modules/knip/bin/knip.js", "--no-progress"],
};

/** Unit tests keep all processors busy: the image and the yard that are made beside them come first, since the next stage waits for those. */
const NICE: Readonly<Record<string, string>> = { unit: "-n5" };

/** A stage that could not do its work is one failure. */
const BROKEN: Report = { passed: 0, failed: 1, skipped: [], retried: [], files: [] };

/** Runs one stage to its end; never throws for what it finds. */
export async function runStage(stage: StageName, files: readonly string[], environment: Readonly<Record<string, string>>): Promise<Report> {
  const check = CHECKS[stage];
  if (check === undefined) return runVitest(stage, files, environment);
  const { exitCode } = await execa(NODE, [...check], { stdio: ["ignore", "inherit", "inherit"], reject: false });
  return exitCode === 0 ? { ...BROKEN, passed: 1, failed: 0 } : BROKEN;
}

/** What a stage counts that was not begun, because what it needs is not there. */
export function notBegun(reason: string): Report {
  console.error(reason);
  return BROKEN;
}

async function runVitest(project: string, files: readonly string[], environment: Readonly<Record<string, string>>): Promise<Report> {
  const path = `${ARTIFACTS}/${project}-tests.json`;
  await rm(path, { force: true });
  const { exitCode } = await execa(
    "nice",
    [NICE[project] ?? "-n0", NODE, "node_modules/vitest/vitest.mjs", "run", "--project", project, ...files],
    {
      stdio: ["ignore", "inherit", "inherit"],
      reject: false,
      env: { ...environment, BOXYARD_TEST_REPORT: path },
    },
  );
  const report = (await readFile(path, "utf8").then(JSON.parse, () => null)) as Report | null;
  if (report === null) return BROKEN;
  return { ...report, failed: Math.max(report.failed, exitCode === 0 ? 0 : 1) };
}
