import { type Kysely, sql } from "kysely";

/** A number for each decision about what a website serves: servers tell late news from new. */
export async function up(database: Kysely<unknown>): Promise<void> {
  await sql`alter table website add column release_decision integer not null default 0`.execute(database);
}
