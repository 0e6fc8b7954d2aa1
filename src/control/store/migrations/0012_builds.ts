import { type Kysely, sql } from "kysely";

/** Whether a deployment's commit has to be built before it is a release. */
export async function up(database: Kysely<unknown>): Promise<void> {
  await sql`alter table deployment add column needs_build boolean not null default false`.execute(database);
}
