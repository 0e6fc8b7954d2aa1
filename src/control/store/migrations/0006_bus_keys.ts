import { type Kysely, sql } from "kysely";

/** Keys by which servers join the bus; what was revoked stays so for good. */
export async function up(database: Kysely<unknown>): Promise<void> {
  await sql`
    create table bus_key (
      public_key text primary key,
      server text not null,
      issued_at timestamptz not null default now(),
      revoked_at timestamptz
    )`.execute(database);
  await sql`create index bus_key_of_server on bus_key (server) where revoked_at is null`.execute(database);
}
