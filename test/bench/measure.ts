/** What benchmarks have in common. */

/** As long as an agent's own answer to a ping. */
export const PING_REPLY = JSON.stringify({
  server: "c100b50",
  last: true,
  durationMs: 0.123456789,
  output: { at: "2026-11-23T08:00:00.123456Z", generation: 1 },
});

/** How long it takes, in milliseconds. */
export async function timed(work: () => Promise<unknown>): Promise<number> {
  const startedAt = performance.now();
  await work();
  return performance.now() - startedAt;
}

/** The results of so many rounds, one after the other. */
export async function repeat(rounds: number, once: () => Promise<number>): Promise<number[]> {
  const results: number[] = [];
  for (let round = 0; round < rounds; round++) results.push(await once());
  return results;
}

export function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
}

/** A command that has to succeed: a figure of one that failed would be wrong. */
export async function must(running: Promise<{ readonly exitCode: number; readonly stderr: string }>): Promise<void> {
  const { exitCode, stderr } = await running;
  if (exitCode !== 0) throw new Error(stderr);
}
