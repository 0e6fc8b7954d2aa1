import { mkdir, writeFile } from "node:fs/promises";
import { inServer } from "#harness/servers.ts";
import { bin, boxyard, TEST_YARD } from "#harness/yard.ts";

/** A fresh yard for the suite: what an earlier run left is removed first. Keep it with BOXYARD_TEST_KEEP=1, reuse it with BOXYARD_TEST_REUSE=1. */
export async function setup(): Promise<void> {
  if (process.env["BOXYARD_TEST_REUSE"] === undefined) {
    const removed = await bin("down", ["--yard", TEST_YARD]);
    if (removed.exitCode !== 0) throw new Error(`bin/down --yard ${TEST_YARD}: ${removed.stderr}${removed.stdout}`);
  }
  const startedAt = Date.now();
  const made = await bin("up", ["--yard", TEST_YARD, "--json"], 1_500_000);
  await mkdir("artifacts", { recursive: true });
  await writeFile("artifacts/up.log", made.stderr);
  if (made.exitCode !== 0) {
    await keepLogs();
    throw new Error(`bin/up --yard ${TEST_YARD} exited ${made.exitCode}: ${made.stderr}${made.stdout}`);
  }
  process.stdout.write(`yard ${TEST_YARD} is up after ${Math.round((Date.now() - startedAt) / 1000)} s\n`);
}

export async function teardown(): Promise<void> {
  await keepLogs();
  if (process.env["BOXYARD_TEST_KEEP"] !== undefined) return;
  const removed = await bin("down", ["--yard", TEST_YARD]);
  if (removed.exitCode !== 0) throw new Error(`bin/down --yard ${TEST_YARD}: ${removed.stderr}${removed.stdout}`);
}

/** What one needs to understand a failure when the servers are gone. */
async function keepLogs(): Promise<void> {
  const listed = await boxyard("server", "list", "--json");
  const names = listed.exitCode === 0 ? (JSON.parse(listed.stdout) as { name: string }[]).map((server) => server.name) : ["control1"];
  await writeFile("artifacts/servers.json", listed.stdout);
  for (const name of names) {
    const journal = await inServer(name, ["journalctl", "--no-pager", "-o", "cat", "-n", "2000", "-u", "boxyard-*"]).catch(() => null);
    if (journal !== null) await writeFile(`artifacts/journal-${name}.log`, journal.stdout + journal.stderr);
  }
}
