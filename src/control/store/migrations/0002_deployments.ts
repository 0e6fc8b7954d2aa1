import { type Kysely, sql } from "kysely";

/** Deployments, the servers' parts in them and what happened. */
export async function up(database: Kysely<unknown>): Promise<void> {
  await sql`
    create table deployment (
      id integer generated always as identity primary key,
      website text not null,
      cluster text not null,
      commit text not null,
      previous text,
      state text not null,
      reason text,
      push text not null unique,
      branch text not null,
      git_server text not null,
      accepted_at bigint not null,
      finished_at bigint,
      switch_at bigint,
      is_turning_back boolean not null default false,
      is_settled boolean not null default false
    )`.execute(database);
  await sql`create index deployment_of_website on deployment (website, id)`.execute(database);
  await sql`create index deployment_under_way on deployment (website) where finished_at is null`.execute(database);
  await sql`create index deployment_unsettled on deployment (id) where finished_at is not null and not is_settled`.execute(database);
  await sql`
    create table deployment_server (
      deployment integer not null references deployment (id) on delete cascade,
      server text not null,
      role text not null,
      staged_at bigint,
      switched_at bigint,
      error text,
      primary key (deployment, server)
    )`.execute(database);
  await sql`
    create table deployment_event (
      seq bigint generated always as identity primary key,
      deployment integer not null references deployment (id) on delete cascade,
      event jsonb not null
    )`.execute(database);
  await sql`create index deployment_event_of_deployment on deployment_event (deployment, seq)`.execute(database);
}
