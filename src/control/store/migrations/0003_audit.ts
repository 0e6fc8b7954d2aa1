import { type Kysely, sql } from "kysely";

/** Who asked servers for what, and how it ended; rows are only ever added. */
export async function up(database: Kysely<unknown>): Promise<void> {
  await sql`
    create table audit (
      number bigint generated always as identity primary key,
      at timestamptz not null default clock_timestamp(),
      request text not null,
      caller text not null,
      kind text not null check (kind in ('asked', 'refused', 'ended')),
      action text not null,
      target text not null,
      details jsonb not null
    )`.execute(database);
  await sql`
    create function refuse_change() returns trigger language plpgsql as $$
    begin
      raise exception 'the audit is only ever added to';
    end $$`.execute(database);
  await sql`create trigger audit_is_append_only before update or delete or truncate on audit execute function refuse_change()`.execute(
    database,
  );
}
