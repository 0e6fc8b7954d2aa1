import { type Kysely, sql } from "kysely";

/** Which form of a server's rights each key was given, so that those with an older one are renewed. */
export async function up(database: Kysely<unknown>): Promise<void> {
  await sql`alter table bus_key add column rights integer not null default 1`.execute(database);
}
