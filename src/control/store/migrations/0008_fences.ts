import { type Kysely, sql } from "kysely";

/** Servers that visitors are not sent to, and deployments that go on without them. */
export async function up(database: Kysely<unknown>): Promise<void> {
  await sql`
    create table fence (
      server text primary key references server (name) on delete cascade,
      reason text not null,
      deployment integer,
      since timestamptz not null default now()
    )`.execute(database);
  await sql`alter table deployment_server add column is_left_out boolean not null default false`.execute(database);
  await sql`alter table cluster add column min_boxes integer check (min_boxes > 0)`.execute(database);
}
