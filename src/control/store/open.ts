import { Kysely, PostgresDialect, sql } from "kysely";
import { type Migration, Migrator } from "kysely/migration";
import pg from "pg";
import { Fault } from "#base/fault.ts";
import * as yard from "./migrations/0001_yard.ts";
import * as deployments from "./migrations/0002_deployments.ts";
import * as audit from "./migrations/0003_audit.ts";
import * as people from "./migrations/0004_people.ts";
import * as governors from "./migrations/0005_governors.ts";
import * as busKeys from "./migrations/0006_bus_keys.ts";
import * as orders from "./migrations/0007_orders.ts";
import * as fences from "./migrations/0008_fences.ts";
import * as releaseDecisions from "./migrations/0009_release_decisions.ts";
import * as hooks from "./migrations/0010_hooks.ts";
import * as procedures from "./migrations/0011_procedures.ts";
import * as builds from "./migrations/0012_builds.ts";
import * as settings from "./migrations/0013_settings.ts";
import * as clockOffsets from "./migrations/0014_clock_offsets.ts";
import * as keyRights from "./migrations/0015_key_rights.ts";
import * as afterHooks from "./migrations/0016_after_hooks.ts";
import * as leadership from "./migrations/0017_leadership.ts";
import * as joinedServers from "./migrations/0018_joined_servers.ts";
import type { Store, Tables } from "./schema.ts";

/** Every migration, in the order of its name. */
const MIGRATIONS: Record<string, Migration> = {
  "0001_yard": yard,
  "0002_deployments": deployments,
  "0003_audit": audit,
  "0004_people": people,
  "0005_governors": governors,
  "0006_bus_keys": busKeys,
  "0007_orders": orders,
  "0008_fences": fences,
  "0009_release_decisions": releaseDecisions,
  "0010_hooks": hooks,
  "0011_procedures": procedures,
  "0012_builds": builds,
  "0013_settings": settings,
  "0014_clock_offsets": clockOffsets,
  "0015_key_rights": keyRights,
  "0016_after_hooks": afterHooks,
  "0017_leadership": leadership,
  "0018_joined_servers": joinedServers,
};

/** Opens the yard's rows and brings the schema up to date; the caller ends it with `store.destroy()`. */
export async function openStore(connection: pg.PoolConfig): Promise<Store> {
  const pool = new pg.Pool({ max: 10, ...connection });
  // An idle connection that breaks is replaced by the pool; without a listener it would end the process.
  pool.on("error", () => undefined);
  const store = new Kysely<Tables>({ dialect: new PostgresDialect({ pool }) });
  const { error } = await new Migrator({ db: store, provider: { getMigrations: async () => MIGRATIONS } }).migrateToLatest();
  if (error === undefined) return store;
  await store.destroy();
  throw new Fault("store.migration-failed", "cannot bring the yard's database up to date", { cause: error });
}

/** The next number of a sequence. */
export async function nextNumber(store: Store, sequence: "cluster_number" | "website_number" | "database_number"): Promise<number> {
  const { rows } = await sql<{ number: number }>`select nextval(${sequence})::integer as number`.execute(store);
  const [row] = rows;
  if (row === undefined) throw new Error(`sequence ${sequence} gave nothing`);
  return row.number;
}

/** Whether the database refused a row because of this constraint. */
export function violates(thrown: unknown, constraint: string): boolean {
  return thrown instanceof pg.DatabaseError && thrown.constraint === constraint;
}
