import { randomBytes } from "node:crypto";
import type { PoolConfig } from "pg";
import { inject } from "vitest";
import { openStore } from "#control/store/open.ts";
import type { Store } from "#control/store/schema.ts";
import { ensureServer, onServer, TEMPLATE } from "./postgres-server.ts";

/** A test file's databases on a real PostgreSQL, which is one for the whole run and reached through a socket only. */
export interface TestPostgres {
  /** How to reach a new, empty database. */
  freshDatabase(): Promise<PoolConfig>;
  /** A new database with the yard's schema; `stop` closes it. */
  freshStore(): Promise<Store>;
  /** Removes them. */
  stop(): Promise<void>;
}

export async function startPostgres(): Promise<TestPostgres> {
  const folder = inject("postgresFolder");
  await ensureServer(folder);
  const file = `test_${randomBytes(6).toString("hex")}`;
  const databases: string[] = [];
  const stores: Store[] = [];
  const make = async (from: string): Promise<PoolConfig> => {
    const database = `${file}_${databases.length + 1}`;
    databases.push(database);
    // A copy of files takes half the time of a copy by way of the log.
    await onServer(folder, `create database ${database} template ${from} strategy file_copy`);
    return { host: folder, user: "boxyard", database };
  };
  return {
    freshDatabase: () => make("template0"),
    freshStore: async () => {
      const store = await openStore(await make(TEMPLATE));
      stores.push(store);
      return store;
    },
    stop: async () => {
      await Promise.all(stores.map((store) => store.destroy()));
      await onServer(folder, ...databases.map((database) => `drop database ${database} with (force)`));
    },
  };
}
