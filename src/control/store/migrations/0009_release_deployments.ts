import { type Kysely, sql } from "kysely";

/** Which deployment decided what a website serves: servers tell late news from new. */
export async function up(database: Kysely<unknown>): Promise<void> {
  await sql`alter table website add column release_deployment integer not null default 0`.execute(database);
}
