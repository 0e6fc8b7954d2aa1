import { type Kysely, sql } from "kysely";

/** Whether a deployment that is live has a hook that is to run after it, or runs. */
export async function up(database: Kysely<unknown>): Promise<void> {
  await sql`alter table deployment add column is_after_due boolean not null default false`.execute(database);
  await sql`create index deployment_after_due on deployment (id) where is_after_due`.execute(database);
}
