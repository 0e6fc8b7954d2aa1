import { chown, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { TestProject } from "vitest/node";
import { type Argv, run } from "#base/run.ts";
import { openStore } from "#control/store/open.ts";

declare module "vitest" {
  interface ProvidedContext {
    /** Where the run's PostgreSQL is, or will be. */
    readonly postgresFolder: string;
  }
}

/** The database that has the yard's schema and no rows; every test's database is a copy of it. */
export const TEMPLATE = "template_yard";
const START_MS = 120_000;
const READY = "ready";
const FAILED = "failed";

/** Set by who runs the unit tests again and again: the folder of a server that is there already, and stays. */
const SHARED = "BOXYARD_TEST_POSTGRES";

/** For the whole run of unit tests: a place for one PostgreSQL, which the first file that needs it starts. */
export async function setup(project: TestProject): Promise<() => Promise<void>> {
  const shared = process.env[SHARED];
  if (shared !== undefined) {
    project.provide("postgresFolder", shared);
    return async () => undefined;
  }
  const folder = await mkdtemp(join(tmpdir(), "boxyard-postgres-"));
  project.provide("postgresFolder", folder);
  return async () => {
    if ((await readdir(folder)).includes("data")) await stopServer(folder);
    await rm(folder, { recursive: true, force: true });
  };
}

/** The server is there when this resolves: the first caller of all workers starts it. */
export async function ensureServer(folder: string): Promise<void> {
  const isFirst = await mkdir(join(folder, "starting")).then(
    () => true,
    () => false,
  );
  if (!isFirst) return untilStarted(folder);
  try {
    await startServer(folder);
    await writeFile(join(folder, READY), "");
  } catch (thrown) {
    await writeFile(join(folder, FAILED), String(thrown));
    throw thrown;
  }
}

/** Runs statements on the server, each in a transaction of its own. */
export async function onServer(folder: string, ...statements: readonly string[]): Promise<void> {
  const commands = statements.flatMap((statement) => ["-c", statement]);
  await run(["psql", "-h", folder, "-U", "boxyard", "-d", "postgres", "-q", ...commands], { timeoutMs: 60_000 });
}

/** Safety against power loss is off: it lives for one run. */
async function startServer(folder: string): Promise<void> {
  const programs = await findPrograms();
  const owner = await readOwner();
  await chown(folder, owner.uid, owner.gid);
  const settings = `-c listen_addresses= -c unix_socket_directories=${folder} -c fsync=off -c max_connections=400`;
  await run(asOwner(owner, `${programs}/initdb`, "-D", `${folder}/data`, "-U", "boxyard", "--auth=trust", "--no-sync"), {
    cwd: folder,
    timeoutMs: START_MS,
  });
  await run(asOwner(owner, `${programs}/pg_ctl`, "-D", `${folder}/data`, "-w", "-l", `${folder}/log`, "-o", settings, "start"), {
    cwd: folder,
    timeoutMs: START_MS,
  });
  await onServer(folder, `create database ${TEMPLATE}`);
  await (await openStore({ host: folder, user: "boxyard", database: TEMPLATE })).destroy();
}

/** Ends the server of this folder; the folder stays. */
export async function stopServer(folder: string): Promise<void> {
  const stop = [`${await findPrograms()}/pg_ctl`, "-D", `${folder}/data`, "-m", "immediate", "stop"] as const;
  await run(asOwner(await readOwner(), ...stop), { cwd: folder });
}

async function untilStarted(folder: string): Promise<void> {
  for (const deadline = performance.now() + 3 * START_MS; performance.now() < deadline; await sleep(50)) {
    const there = await readdir(folder);
    if (there.includes(READY)) return;
    if (there.includes(FAILED)) throw new Error(await readFile(join(folder, FAILED), "utf8"));
  }
  throw new Error(`PostgreSQL has not started in ${folder}`);
}

async function findPrograms(): Promise<string> {
  const versions = await readdir("/usr/lib/postgresql").catch(() => []);
  const newest = versions.sort((a, b) => Number(a) - Number(b)).at(-1);
  if (newest === undefined) throw new Error("PostgreSQL is not installed: run bin/test once, it installs what unit tests need");
  return `/usr/lib/postgresql/${newest}/bin`;
}

interface Owner {
  readonly uid: number;
  readonly gid: number;
}

function asOwner({ uid, gid }: Owner, ...argv: Argv): Argv {
  return ["setpriv", `--reuid=${uid}`, `--regid=${gid}`, "--clear-groups", "--", ...argv];
}

/** PostgreSQL refuses to run as root; its package brings a user for it. */
async function readOwner(): Promise<Owner> {
  const { stdout } = await run(["getent", "passwd", "postgres"]);
  const [, , uid, gid] = stdout.split(":").map(Number);
  if (uid === undefined || gid === undefined) throw new Error("there is no user postgres");
  return { uid, gid };
}
