/** Runs the checks of the project, cheap ones first, and counts: bin/test says how it is called. */
import { mkdir, readFile } from "node:fs/promises";
import { leaveTestYard, makeTestYard } from "#harness/test-yard.ts";
import { TEST_YARD } from "#harness/yard.ts";
import { ensureHostPackages } from "./harness/host-packages.ts";
import { isOnYard, parseArguments, type StageName, type Wanted } from "./runner/arguments.ts";
import { closingLines, type Ended, turnLine } from "./runner/closing.ts";
import { readHistory, turnOf } from "./runner/slices.ts";
import { ARTIFACTS, notBegun, runStage } from "./runner/stages.ts";

const turn = turnOf(await readHistory("."));
const wanted = readArguments();
if (wanted === null) process.exitCode = 2;
else process.exitCode = await runAll(wanted);

function readArguments(): Wanted | null {
  try {
    return parseArguments(process.argv.slice(2), turn);
  } catch (thrown) {
    console.error((thrown as Error).message);
    return null;
  }
}

async function runAll(wanted: Wanted): Promise<number> {
  if (wanted.turn !== null) console.log(turnLine(wanted.turn));
  await mkdir(ARTIFACTS, { recursive: true });
  const prepared = prepare(wanted.stages);
  const ended: Ended[] = [];
  for (const stage of wanted.stages) ended.push(await timed(stage, () => begin(stage, wanted, prepared)));
  if (wanted.stages.some(isOnYard)) await leaveTestYard().catch((thrown: Error) => ended.push(broken("yard removed", thrown)));
  const lines = closingLines(ended, wanted, await firstLinesOf(ended));
  console.log(`\n${lines.join("\n")}`);
  return ended.some(({ failed }) => failed > 0) ? 1 : 0;
}

/** What stages wait for; each is null, or the reason why it is not there. */
interface Prepared {
  readonly packages: Promise<Error | null>;
  readonly yard: Promise<Error | null>;
}

/** Goes on in the background while the static checks and then the unit tests run: making a yard is mostly waiting. */
function prepare(stages: readonly StageName[]): Prepared {
  const fault = (work: Promise<void>): Promise<Error | null> => work.then(() => null).catch((thrown: Error) => thrown);
  const packages = fault(ensureHostPackages(stages));
  const yard = stages.some(isOnYard) ? packages.then((missing) => missing ?? fault(makeYard())) : Promise.resolve(null);
  return { packages, yard };
}

async function makeYard(): Promise<void> {
  const startedAt = performance.now();
  console.log(`── yard ${TEST_YARD} is being made: ${ARTIFACTS}/up.log`);
  await makeTestYard();
  console.log(`── yard ${TEST_YARD} is up after ${secondsSince(startedAt).toFixed(0)} s`);
}

async function begin(stage: StageName, { files, seed }: Wanted, { packages, yard }: Prepared) {
  const needs = isOnYard(stage) ? yard : stage === "unit" ? packages : null;
  const fault = await needs;
  if (fault) return notBegun(fault.message);
  // One yard for all stages: none of them removes it.
  const shared = isOnYard(stage) ? { BOXYARD_TEST_REUSE: "1", BOXYARD_TEST_KEEP: "1" } : {};
  return runStage(stage, files, { ...shared, BOXYARD_TEST_SEED: String(seed) });
}

async function timed(stage: StageName, work: () => ReturnType<typeof begin>): Promise<Ended> {
  const startedAt = performance.now();
  console.log(`\n── ${stage}`);
  const report = await work();
  const ended = { ...report, stage, seconds: secondsSince(startedAt) };
  console.log(`── ${stage}: ${ended.passed} passed, ${ended.failed} failed in ${ended.seconds.toFixed(1)} s`);
  return ended;
}

function broken(stage: string, { message }: Error): Ended {
  return { ...notBegun(message), stage, seconds: 0 };
}

async function firstLinesOf(ended: readonly Ended[]): Promise<Map<string, string>> {
  const read = async ({ file }: { readonly file: string }): Promise<[string, string]> => [
    file,
    // A comment of several lines begins with one that says nothing.
    (await readFile(file, "utf8")).replace(/^\/\*\*\n \*/, "/**").split("\n", 1)[0] ?? "",
  ];
  return new Map(await Promise.all(ended.flatMap(({ files }) => files.map(read))));
}

function secondsSince(startedAt: number): number {
  return (performance.now() - startedAt) / 1000;
}
