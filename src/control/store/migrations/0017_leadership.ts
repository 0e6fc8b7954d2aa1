import { type Kysely, sql } from "kysely";

/** Which control server leads, and the number of its lead. */
export async function up(database: Kysely<unknown>): Promise<void> {
  await sql`
    create table leadership (
      is_only boolean primary key default true check (is_only),
      term bigint not null,
      server text not null,
      since timestamptz not null default now()
    )`.execute(database);
}
