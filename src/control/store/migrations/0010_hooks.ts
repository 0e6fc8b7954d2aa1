import { type Kysely, sql } from "kysely";

/** What a deployment's release runs on the shell server. */
export async function up(database: Kysely<unknown>): Promise<void> {
  await sql`alter table deployment add column hooks jsonb not null default '[]'`.execute(database);
}
