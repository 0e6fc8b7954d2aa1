import type { Wanted } from "./arguments.ts";
import type { Report, SecondTry } from "./reporter.ts";
import type { Turn } from "./slices.ts";

/** A stage that has ended. */
export interface Ended extends Report {
  readonly stage: string;
  readonly seconds: number;
}

/** Longer than that a file is for a slice only, and says so in its first line. */
const LONG_SECONDS = 60;

/** What CI's run begins and ends with. */
export function turnLine({ slice, seed, reason }: Turn): string {
  return `── slice “${slice}” (${reason}); again: bin/test --slice ${slice} --seed ${seed}`;
}

/** The last lines of a run: what a reader must know besides the count, and then the count, alone on its line. */
export function closingLines(ended: readonly Ended[], { turn, seed }: Wanted, firstLines: ReadonlyMap<string, string>): string[] {
  const sum = (of: (report: Report) => number): number => ended.reduce((total, one) => total + of(one), 0);
  const stages = ended.map(({ stage, seconds }) => `${stage} ${Math.round(seconds)} s`).join(", ");
  return [
    `── took: ${stages}`,
    ...named(
      "skipped",
      ended.flatMap(({ skipped }) => skipped),
    ),
    ...named(
      "a second try",
      ended.flatMap(({ retried }) => retried.map(describeSecondTry)),
    ),
    ...named(
      "over a minute, and not in a slice with a first line that says so",
      ended.flatMap((one) => undeclared(one, firstLines)),
    ),
    turn === null ? `── seed ${seed}` : turnLine(turn),
    `${sum(({ passed }) => passed)} passed, ${sum(({ failed }) => failed)} failed`,
  ];
}

function describeSecondTry({ test, failures, errors }: SecondTry): string {
  const lines = errors.flatMap((error) => error.split("\n")).filter((line) => line.trim() !== "");
  return [`${test} (failed ${failures} ×)`, ...lines.map((line) => `  ${line}`)].join("\n     ");
}

/** Whether a file's first line says that it takes minutes. */
function saysMinutes(firstLine: string): boolean {
  return /^\/[/*].*\bminutes?\b/.test(firstLine);
}

function undeclared({ stage, files }: Ended, firstLines: ReadonlyMap<string, string>): string[] {
  const isGate = stage === "unit" || stage === "yard";
  const long = files.filter(({ seconds }) => seconds > LONG_SECONDS);
  return long.filter(({ file }) => isGate || !saysMinutes(firstLines.get(file) ?? "")).map(({ file, seconds }) => `${file} (${seconds} s)`);
}

function named(what: string, which: readonly string[]): string[] {
  return [`── ${what}: ${which.length === 0 ? "none" : which.length}`, ...which.map((one) => `     ${one}`)];
}
