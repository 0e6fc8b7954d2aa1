import { setTimeout as sleep } from "node:timers/promises";
import { sql } from "kysely";
import pg from "pg";
import type { ServerName } from "#contract/names.ts";
import type { Store } from "./schema.ts";

/** The right to be the one control service that works; held by a session of the database, and gone with it. */
export interface Lead {
  /** Resolves when the database has ended the session: from then on another one may lead. */
  readonly lost: Promise<void>;
  /** Gives the lead up. */
  release(): Promise<void>;
}

export interface LeadOptions {
  /** Told once, when the lead cannot be had at once. */
  readonly onWait: () => void;
  readonly everyMs?: number;
}

const LOOK_AGAIN_MS = 500;
/** Any number that nothing else locks. */
const LOCK = "hashtext('control leads')";

/**
 * Waits until this server's own database takes writes, and no other process leads by it. Of several control servers that is
 * one at a time: a database is demoted, and with it all its sessions end, before another one is promoted.
 */
export async function takeLead(connection: pg.ClientConfig, { onWait, everyMs = LOOK_AGAIN_MS }: LeadOptions): Promise<Lead> {
  for (let attempt = 1; ; attempt++) {
    const client = new pg.Client(connection);
    const lost = new Promise<void>((resolve) => {
      client.once("end", resolve);
      client.on("error", () => resolve());
    });
    if (await leadsBy(client).catch(() => false)) return { lost, release: () => client.end() };
    await client.end().catch(() => undefined);
    if (attempt === 1) onWait();
    await sleep(everyMs);
  }
}

async function leadsBy(client: pg.Client): Promise<boolean> {
  await client.connect();
  // In this order: a copy of the database gives locks of its own.
  const { rows } = await client.query<{ leads: boolean }>(
    `select case when pg_is_in_recovery() then false else pg_try_advisory_lock(${LOCK}) end as leads`,
  );
  return rows[0]?.leads === true;
}

/**
 * The number of a new lead, higher than all before; servers refuse what bears a lower one than they know. It is at least the time
 * in seconds, so that it rises even when the rows are those of an older day.
 */
export async function beginTerm(store: Store, server: ServerName): Promise<number> {
  const { rows } = await sql<{ term: string }>`
    insert into leadership (term, server) values (extract(epoch from now())::bigint, ${server})
    on conflict (is_only) do update
      set term = greatest(leadership.term + 1, excluded.term), server = excluded.server, since = now()
    returning term`.execute(store);
  return Number(rows[0]?.term);
}

/**
 * Servers that could take over: their databases follow this one, and each commit waits for one of them. While it waits for none
 * (for some seconds after a copy is back) nobody can know what they lack, and none of them is promoted.
 */
export async function listCopies(store: Store): Promise<Set<ServerName>> {
  const { rows } = await sql<{ server: string }>`
    select application_name as server from pg_stat_replication
    where state = 'streaming' and exists (select from pg_stat_replication where sync_state in ('sync', 'quorum'))`.execute(store);
  return new Set(rows.map(({ server }) => server));
}
