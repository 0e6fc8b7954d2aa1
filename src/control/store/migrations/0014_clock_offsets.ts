import { type Kysely, sql } from "kysely";

/** By how much a server's clock was ahead of control's when it switched, in microseconds. */
export async function up(database: Kysely<unknown>): Promise<void> {
  await sql`alter table deployment_server add column clock_offset bigint`.execute(database);
}
