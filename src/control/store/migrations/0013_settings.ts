import { type Kysely, sql } from "kysely";

/** What an operator has decided for the whole yard, by name. */
export async function up(database: Kysely<unknown>): Promise<void> {
  await sql`create table setting (name text primary key, value jsonb not null)`.execute(database);
}
