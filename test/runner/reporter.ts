import { writeFile } from "node:fs/promises";
import { relative } from "node:path";
import { stripVTControlCharacters } from "node:util";
import type { Reporter, SerializedError, TestCase, TestModule, TestSuite } from "vitest/node";

/** What bin/test has to know of a run of vitest; its own JSON report does not say which tests needed a second try. */
export interface Report {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: readonly string[];
  /** Tests that passed, but not at their first try. */
  readonly retried: readonly SecondTry[];
  readonly files: readonly { readonly file: string; readonly seconds: number }[];
}

/** A test with how many of its tries failed, and why. */
export interface SecondTry {
  readonly test: string;
  readonly failures: number;
  readonly errors: readonly string[];
}

/** Writes the report to a file. */
export class RunReporter implements Reporter {
  readonly #path: string;

  constructor(path: string) {
    this.#path = path;
  }

  async onTestRunEnd(modules: readonly TestModule[], errors: readonly SerializedError[]): Promise<void> {
    await writeFile(this.#path, JSON.stringify(reportOf(modules, errors.length), null, 2));
  }
}

function reportOf(modules: readonly TestModule[], errors: number): Report {
  const tests = modules.flatMap((module) => [...module.children.allTests()]);
  const inState = (state: string): TestCase[] => tests.filter((test) => test.result().state === state);
  const failed = inState("failed").length + modules.flatMap(brokenIn).length + errors;
  const retried = inState("passed").flatMap((test) => {
    const failures = test.diagnostic()?.retryCount ?? 0;
    return failures === 0 ? [] : [{ test: nameOf(test), failures, errors: (test.result().errors ?? []).map(describeError) }];
  });
  const skipped = [...inState("skipped"), ...inState("pending")].map(nameOf);
  return { passed: inState("passed").length, failed, skipped, retried, files: modules.map(timeOf) };
}

/** With what was expected, and where in our files that stands. */
function describeError({ message, diff, stacks = [] }: SerializedError & { readonly diff?: string }): string {
  const where = stacks.map(({ file, line }) => `at ${relative(process.cwd(), file)}:${line}`);
  return stripVTControlCharacters([message, ...(diff === undefined ? [] : [diff]), ...where].join("\n"));
}

/** What could not be loaded, or set up: its tests did not run. */
function brokenIn(module: TestModule): (TestModule | TestSuite)[] {
  return [module, ...module.children.allSuites()].filter((part) => part.errors().length > 0);
}

function timeOf(module: TestModule): Report["files"][number] {
  const { duration, collectDuration, setupDuration } = module.diagnostic();
  return { file: pathOf(module), seconds: Math.round((duration + collectDuration + setupDuration) / 100) / 10 };
}

function nameOf(test: TestCase): string {
  return `${pathOf(test.module)} > ${test.fullName}`;
}

function pathOf(module: TestModule): string {
  return relative(process.cwd(), module.moduleId);
}
