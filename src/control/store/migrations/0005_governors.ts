import { type Kysely, sql } from "kysely";

/** Limits over the whole yard, and who makes use of them; a lease that nobody ends or renews ends by itself. */
export async function up(database: Kysely<unknown>): Promise<void> {
  await sql`create table governor (name text primary key, most integer not null check (most > 0), actions jsonb not null)`.execute(
    database,
  );
  await sql`
    create table lease (
      governor text not null references governor (name) on delete cascade,
      server text not null,
      request text not null,
      is_job boolean not null,
      since timestamptz not null default clock_timestamp(),
      until timestamptz not null,
      primary key (governor, server, request)
    )`.execute(database);
}
