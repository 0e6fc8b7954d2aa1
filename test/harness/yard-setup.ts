import { leaveTestYard, makeTestYard } from "#harness/test-yard.ts";
import { TEST_YARD } from "#harness/yard.ts";

/** Before the files of a slice: a yard. bin/test has made it already, and keeps it for the next slice. */
export async function setup(): Promise<void> {
  const startedAt = performance.now();
  await makeTestYard();
  process.stdout.write(`yard ${TEST_YARD} is up after ${Math.round((performance.now() - startedAt) / 1000)} s\n`);
}

export const teardown = leaveTestYard;
