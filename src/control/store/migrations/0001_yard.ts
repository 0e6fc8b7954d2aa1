import { type Kysely, sql } from "kysely";

/** Servers, clusters, websites and what belongs to them; numbers come from sequences and are never used twice. */
export async function up(database: Kysely<unknown>): Promise<void> {
  const statements = [
    sql`create sequence cluster_number as integer`,
    sql`create sequence website_number as integer`,
    sql`create sequence database_number as integer`,
    sql`create table cluster (id text primary key, is_deleting boolean not null default false)`,
    sql`create table server (
      name text primary key,
      roles jsonb not null,
      cluster text references cluster (id),
      address text not null unique,
      state text not null default 'present' check (state in ('present', 'leaving', 'deleting')),
      enrolment jsonb,
      host_key jsonb
    )`,
    sql`create table website (
      id text primary key,
      cluster text not null references cluster (id),
      environment text not null,
      branch text not null,
      hash_salt text not null,
      processing_units integer not null default 8,
      release text
    )`,
    sql`create table domain (
      name text constraint domain_taken primary key,
      website text not null references website (id) on delete cascade,
      kind text not null check (kind in ('main', 'alias', 'redirect')),
      chain_pem text not null,
      key_pem text not null,
      expires_at timestamptz not null
    )`,
    sql`create unique index domain_main on domain (website) where kind = 'main'`,
    sql`create table database (
      name text primary key,
      website text not null references website (id) on delete cascade,
      password text not null
    )`,
    sql`create table ssh_key (
      website text not null references website (id) on delete cascade,
      fingerprint text not null,
      type text not null,
      comment text not null,
      public_key text not null,
      added_at timestamptz not null default now(),
      constraint ssh_key_known primary key (website, fingerprint)
    )`,
    sql`create table spec (
      server text primary key references server (name) on delete cascade,
      generation integer not null,
      hash text not null,
      body jsonb not null
    )`,
  ];
  for (const statement of statements) await statement.execute(database);
}
