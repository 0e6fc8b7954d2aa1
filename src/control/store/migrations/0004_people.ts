import { type Kysely, sql } from "kysely";

/** People beside the operator that bin/up makes, and what those of a role may ask servers for. */
export async function up(database: Kysely<unknown>): Promise<void> {
  await sql`
    create table person (
      name text constraint person_known primary key,
      roles jsonb not null,
      token_hash text not null unique,
      added_at timestamptz not null default now()
    )`.execute(database);
  await sql`
    create table policy_rule (
      number integer generated always as identity primary key,
      role text not null,
      actions jsonb not null,
      target text not null,
      parsed_target jsonb not null
    )`.execute(database);
}
