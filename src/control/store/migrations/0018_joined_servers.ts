import { type Kysely, sql } from "kysely";

/** When a server was heard of for the first time: what is gone after that is replaced, not created. */
export async function up(database: Kysely<unknown>): Promise<void> {
  await sql`alter table server add column joined_at timestamptz`.execute(database);
  await sql`update server set joined_at = now() where enrolment is not null`.execute(database);
}
