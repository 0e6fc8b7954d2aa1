import { type Kysely, sql } from "kysely";

/** How long visitors wait in a deployment, and whether its databases can be put back. */
export async function up(database: Kysely<unknown>): Promise<void> {
  await sql`alter table deployment add column hold_seconds integer`.execute(database);
  await sql`alter table deployment add column snapshots_databases boolean not null default false`.execute(database);
  await sql`alter table deployment add column has_snapshot boolean not null default false`.execute(database);
  await sql`create index deployment_live on deployment (website, commit, finished_at) where state = 'live'`.execute(database);
}
