import pg, { type PoolConfig } from "pg";
import { afterAll, beforeAll, expect, test } from "vitest";
import { startPostgres, type TestPostgres } from "#harness/postgres.ts";
import { beginTerm, type Lead, takeLead } from "./lead.ts";
import { openStore } from "./open.ts";

let postgres: TestPostgres;

beforeAll(async () => {
  postgres = await startPostgres();
});
afterAll(() => postgres.stop());

/** Who waits says so; the lead comes when it comes. */
function waitFor(database: PoolConfig): { readonly waits: Promise<void>; readonly lead: Promise<Lead> } {
  let onWait = (): void => undefined;
  const waits = new Promise<void>((resolve) => {
    onWait = resolve;
  });
  return { waits, lead: takeLead(database, { onWait, everyMs: 20 }) };
}

async function endSessions(database: PoolConfig): Promise<void> {
  const client = new pg.Client(database);
  await client.connect();
  await client.query(
    "select pg_terminate_backend(pid) from pg_locks where locktype = 'advisory' and database = (select oid from pg_database where datname = current_database())",
  );
  await client.end();
}

test("one leads at a time; the next one does when the first has given it up", async () => {
  const database = await postgres.freshDatabase();
  const first = await waitFor(database).lead;
  const second = waitFor(database);
  await second.waits;
  await first.release();
  await (await second.lead).release();
});

test("who leads is told when the database has ended it, and another one leads", async () => {
  const database = await postgres.freshDatabase();
  const first = await waitFor(database).lead;
  const second = waitFor(database);
  await second.waits;
  await endSessions(database);
  await first.lost;
  await (await second.lead).release();
});

test("a database that is not there is waited for", async () => {
  const database = await postgres.freshDatabase();
  const waiting = waitFor({ ...database, database: "later" });
  await waiting.waits;
  const client = new pg.Client(database);
  await client.connect();
  await client.query("create database later");
  await client.end();
  await (await waiting.lead).release();
});

test("each lead has a higher number than all before, and never one below the time, whatever the rows say", async () => {
  const store = await openStore(await postgres.freshDatabase());
  const now = Math.floor(Date.now() / 1000);
  const first = await beginTerm(store, "control1");
  expect(first).toBeGreaterThanOrEqual(now);
  expect(await beginTerm(store, "control2")).toBeGreaterThan(first);
  await store
    .updateTable("leadership")
    .set({ term: String(now + 1_000_000) })
    .execute();
  expect(await beginTerm(store, "control1")).toBe(now + 1_000_001);
  await store.updateTable("leadership").set({ term: "5" }).execute();
  expect(await beginTerm(store, "control3")).toBeGreaterThanOrEqual(now);
  await store.destroy();
});
