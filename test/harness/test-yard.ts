import { createWriteStream } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { execa } from "execa";
import { inServer } from "./servers.ts";
import { BIN, bin, boxyard, TEST_YARD } from "./yard.ts";

const UP_LOG = "artifacts/up.log";
/** A cold machine installs the cloud daemon and builds the server image. */
const UP_MS = 1_500_000;

/** What an earlier run left is removed, unless BOXYARD_TEST_REUSE=1; then the yard is made, or brought up to date. */
export async function makeTestYard(): Promise<void> {
  if (process.env["BOXYARD_TEST_REUSE"] === undefined) await removeTestYard();
  await mkdir("artifacts", { recursive: true });
  // Written as it goes: a run that is broken off shows how far it was.
  const log = createWriteStream(UP_LOG, { flags: "a" });
  const making = execa(`${BIN}/up`, ["--yard", TEST_YARD, "--json"], { reject: false, cwd: "/", timeout: UP_MS, stdin: "ignore" });
  making.stderr.pipe(log);
  const { exitCode, stderr, stdout, timedOut } = await making;
  if (exitCode === 0) return;
  await keepLogs();
  throw new Error(`bin/up --yard ${TEST_YARD} ${timedOut ? "timed out" : `exited ${exitCode}`}: ${stderr}${stdout}`);
}

/** Removes the yard, unless BOXYARD_TEST_KEEP=1; what one needs to understand a failure is in artifacts/ by then. */
export async function leaveTestYard(): Promise<void> {
  await keepLogs();
  if (process.env["BOXYARD_TEST_KEEP"] === undefined) await removeTestYard();
}

async function removeTestYard(): Promise<void> {
  const removed = await bin("down", ["--yard", TEST_YARD]);
  if (removed.exitCode !== 0) throw new Error(`bin/down --yard ${TEST_YARD}: ${removed.stderr}${removed.stdout}`);
}

async function keepLogs(): Promise<void> {
  const listed = await boxyard("server", "list", "--json");
  const names = listed.exitCode === 0 ? (JSON.parse(listed.stdout) as { name: string }[]).map((server) => server.name) : ["control1"];
  await writeFile("artifacts/servers.json", listed.stdout);
  for (const name of names) {
    const journal = await inServer(name, ["journalctl", "--no-pager", "-o", "cat", "-n", "2000", "-u", "boxyard-*"]).catch(() => null);
    if (journal !== null) await writeFile(`artifacts/journal-${name}.log`, journal.stdout + journal.stderr);
  }
}
