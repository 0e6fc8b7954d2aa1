import { randomBytes } from "node:crypto";
import { sql } from "kysely";
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
  /** The same store at each call, without rows: a tenth of the time that a new one takes. */
  emptyStore(): Promise<Store>;
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
  const freshStore = async (): Promise<Store> => {
    const store = await openStore(await make(TEMPLATE));
    stores.push(store);
    return store;
  };
  let used: Store | undefined;
  return {
    freshDatabase: () => make("template0"),
    freshStore,
    emptyStore: async () => {
      if (used === undefined) used = await freshStore();
      else await empty(used);
      return used;
    },
    stop: async () => {
      await Promise.all(stores.map((store) => store.destroy()));
      await onServer(folder, ...databases.map((database) => `drop database ${database} with (force)`));
    },
  };
}

/** Takes all rows out, also those that are only ever added, and lets all numbers begin again; to truncate takes ten times as long. */
export async function empty(store: Store): Promise<void> {
  const { rows } = await sql<{ name: string }>`
    select quote_ident(tablename) as name from pg_tables where schemaname = 'public' and tablename not like 'kysely%'`.execute(store);
  const statements = [
    // As a copy of another server would: without references, and without the triggers that refuse it.
    "set local session_replication_role = replica",
    ...rows.map(({ name }) => `delete from ${name}`),
    "perform setval(seqrelid::regclass, seqstart, false) from pg_sequence",
  ];
  await sql.raw(`do $$ begin ${statements.join("; ")}; end $$`).execute(store);
}
