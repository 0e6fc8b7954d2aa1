import { chown, mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { PoolConfig } from "pg";
import { type Argv, run } from "#base/run.ts";
import { openStore } from "#control/store/open.ts";
import type { Store } from "#control/store/schema.ts";

/** A real PostgreSQL of its own, reached through a socket only. */
export interface TestPostgres {
  /** How to reach a new, empty database. */
  freshDatabase(): Promise<PoolConfig>;
  /** A new database with the yard's schema; `stop` closes it. */
  freshStore(): Promise<Store>;
  stop(): Promise<void>;
}

/** Starts a temporary PostgreSQL; safety against power loss is off, because it lives for one test file. */
export async function startPostgres(): Promise<TestPostgres> {
  const folder = await mkdtemp(join(tmpdir(), "boxyard-postgres-"));
  const programs = await findPrograms();
  const owner = await readOwner();
  await chown(folder, owner.uid, owner.gid);
  const asOwner = (...argv: Argv): Argv => ["setpriv", `--reuid=${owner.uid}`, `--regid=${owner.gid}`, "--clear-groups", "--", ...argv];
  const settings = `-c listen_addresses= -c unix_socket_directories=${folder} -c fsync=off -c max_connections=400`;
  await run(asOwner(`${programs}/initdb`, "-D", `${folder}/data`, "-U", "boxyard", "--auth=trust", "--no-sync"), { cwd: folder });
  await run(asOwner(`${programs}/pg_ctl`, "-D", `${folder}/data`, "-w", "-l", `${folder}/log`, "-o", settings, "start"), { cwd: folder });

  const stores: Store[] = [];
  let count = 0;
  const freshDatabase = async (): Promise<PoolConfig> => {
    const database = `test${++count}`;
    await run(["psql", "-h", folder, "-U", "boxyard", "-d", "postgres", "-qc", `create database ${database}`]);
    return { host: folder, user: "boxyard", database };
  };
  return {
    freshDatabase,
    freshStore: async () => {
      const store = await openStore(await freshDatabase());
      stores.push(store);
      return store;
    },
    stop: async () => {
      await Promise.all(stores.map((store) => store.destroy()));
      await run(asOwner(`${programs}/pg_ctl`, "-D", `${folder}/data`, "-m", "immediate", "stop"), { cwd: folder });
      await rm(folder, { recursive: true, force: true });
    },
  };
}

async function findPrograms(): Promise<string> {
  const versions = await readdir("/usr/lib/postgresql");
  const newest = versions.sort((a, b) => Number(a) - Number(b)).at(-1);
  if (newest === undefined) throw new Error("PostgreSQL is not installed: run bin/test once, it installs what unit tests need");
  return `/usr/lib/postgresql/${newest}/bin`;
}

/** PostgreSQL refuses to run as root; its package brings a user for it. */
async function readOwner(): Promise<{ uid: number; gid: number }> {
  const { stdout } = await run(["getent", "passwd", "postgres"]);
  const [, , uid, gid] = stdout.split(":").map(Number);
  if (uid === undefined || gid === undefined) throw new Error("there is no user postgres");
  return { uid, gid };
}
