import { setTimeout as sleep } from "node:timers/promises";
import { sql } from "kysely";
import { afterAll, beforeAll, expect, test } from "vitest";
import { mapParallel } from "#base/parallel.ts";
import { until } from "#base/retry.ts";
import { addDatabaseServer, addWebsite, ended, pushOf, startQuickly } from "#harness/deployments.ts";
import { checkWebsite, isWhole, lastLive, runThroughDeaths } from "#harness/model.ts";
import { startPostgres, type TestPostgres } from "#harness/postgres.ts";
import { type Behaviour, SimulatedYard } from "#harness/simulated-yard.ts";
import type { Store } from "../store/schema.ts";

const SERVERS = { c1b1: "box", c1b2: "box", c1s: "shell", c1v1: "cache", c1v2: "cache" } as const;
const CARRIERS = { s1: ["c1b1", "c1b2", "c1s"] };
/** Scenarios that run side by side, each kind in a database of its own. */
const LANES = 4;
/** How many requests of its kind a trouble lasts: longer than all that is tried again at once. */
const TIMES = 12;

let postgres: TestPostgres;
let idle: Store[];

beforeAll(async () => {
  postgres = await startPostgres();
  idle = await Promise.all(Array.from({ length: LANES }, () => postgres.freshStore()));
}, 60_000);
afterAll(() => postgres.stop());

interface Trouble {
  readonly server: string;
  readonly action: string;
  readonly behaviour: Behaviour;
  /** So many requests of this kind go well before; none when absent. */
  readonly after?: number;
}

interface Scenario {
  readonly troubles: readonly Trouble[];
  readonly isUpdateFailing: boolean;
  /** After so many uses of fabric and store the process dies; null: it lives. */
  readonly death: number | null;
}

const HOW: readonly Behaviour[] = ["refuses", "away", "deaf", "mute", "twice"];

function all(servers: readonly string[], actions: readonly string[], behaviours: readonly Behaviour[]): Trouble[] {
  return servers.flatMap((server) => actions.flatMap((action) => behaviours.map((behaviour) => ({ server, action, behaviour }))));
}

/** Every server, with all that a deployment asks of it, in all the ways that it may go wrong. */
const TROUBLES: readonly Trouble[] = [
  ...all(["c1b1", "c1b2", "c1s"], ["release.stage"], HOW),
  ...all(["c1b1", "c1b2", "c1s"], ["release.switch"], [...HOW, "late-and-mute"]),
  ...all(["c1b1", "c1b2"], ["release.probe"], HOW),
  ...all(["c1s"], ["hook.run", "hook.end"], HOW),
  ...all(["c1v1", "c1v2"], ["cache.hold", "cache.let-go", "cache.ban-pages"], HOW),
  ...all(["db1"], ["database.snapshot", "database.restore"], HOW),
  ...all(["git1"], ["git.settle-push"], HOW),
  ...all(["c1b1", "c1b2", "c1s", "c1v1", "c1v2"], ["converge"], ["refuses"]),
];

/** Runs a good deployment, and then one of whose way these troubles are; gives how many uses the second one took. */
async function play(scenario: Scenario): Promise<number> {
  const store = idle.pop();
  if (store === undefined) throw new Error("no lane is free");
  try {
    return await playOn(store, scenario);
  } finally {
    idle.push(store);
  }
}

async function playOn(store: Store, { troubles, isUpdateFailing, death }: Scenario): Promise<number> {
  await empty(store);
  await addWebsite(store, { website: "s1", cluster: "c1", servers: SERVERS });
  await addDatabaseServer(store);
  const begun = new Map<string, number>();
  let isArmed = false;
  const yard = new SimulatedYard((server, action) => {
    const trouble = isArmed ? troubles.find((one) => one.server === server && one.action === action) : undefined;
    if (trouble === undefined) return "ok";
    const key = `${server} ${action}`;
    begun.set(key, (begun.get(key) ?? 0) + 1);
    const nth = (begun.get(key) ?? 0) - (trouble.after ?? 0);
    return nth > 0 && nth <= TIMES ? trouble.behaviour : "ok";
  });
  yard.longestMs = 60;
  const before = startQuickly(store, yard.fabric());
  yard.push(pushOf("s1", 1));
  await ended(store, 1);
  await until("all to be whole", () => isWhole(store, yard, CARRIERS), { timeoutMs: 10_000, everyMs: 3 });
  await before.stop();
  Object.assign(yard, { hooks: ["update", "after"], holdSeconds: 30, snapshotsDatabases: true });
  if (isUpdateFailing) yard.failingHooks.add("update");
  isArmed = true;
  yard.push(pushOf("s1", 2));
  let uses = 0;
  const last =
    death === null
      ? startQuickly(
          store,
          yard.fabric(() => void uses++),
        )
      : await runThroughDeaths(store, yard, [death]);
  try {
    const deployments = await ended(store, 2);
    await until("every box to get visitors and to serve the release", () => isWhole(store, yard, CARRIERS), {
      timeoutMs: 10_000,
      everyMs: 3,
    });
    expect(yard.mixtures).toEqual([]);
    await checkWebsite(store, yard, { website: "s1", deployments });
    const mayBeUnrestored = troubles.some(({ action }) => action === "database.restore" || action === "hook.end");
    const release = lastLive(deployments, "s1");
    const expected = release === pushOf("s1", 1).commit ? null : release;
    if (!mayBeUnrestored) expect(yard.databases.get("db1") ?? null).toBe(expected);
  } finally {
    await last.stop();
  }
  return uses;
}

async function empty(store: Store): Promise<void> {
  const { rows } = await sql<{ name: string }>`
    select quote_ident(tablename) as name from pg_tables where schemaname = 'public' and tablename not like 'kysely%' and tablename not like 'audit%'`.execute(
    store,
  );
  await sql.raw(`truncate ${rows.map(({ name }) => name).join(", ")} restart identity cascade`).execute(store);
}

/** Plays them all, and tells of each that does not end as it should. */
async function playAll(scenarios: readonly Scenario[]): Promise<void> {
  const failed: string[] = [];
  await mapParallel(scenarios, LANES, async (scenario) => {
    await play(scenario).catch((thrown: unknown) => failed.push(`${JSON.stringify(scenario)}: ${String(thrown).slice(0, 400)}`));
    await sleep(0);
  });
  expect(failed).toEqual([]);
}

const WORKS = { isUpdateFailing: false, death: null } as const;

test("wherever control dies on the way of a deployment that keeps databases, has visitors wait and updates, it ends whole", async () => {
  const uses = await play({ ...WORKS, troubles: [] });
  expect(uses).toBeGreaterThan(20);
  const deaths = Array.from({ length: uses }, (_, index) => index + 1);
  await playAll(deaths.map((death) => ({ ...WORKS, troubles: [], death })));
}, 600_000);

test("whatever one server does with one kind of request, it ends whole", async () => {
  await playAll(TROUBLES.map((trouble) => ({ ...WORKS, troubles: [trouble] })));
}, 600_000);

test("the same when the update fails and a server refuses or says nothing", async () => {
  const chosen = TROUBLES.filter(({ behaviour }) => behaviour === "refuses" || behaviour === "mute");
  // One that switches and does not hear that it is to go back.
  const back = all(["c1b1", "c1b2", "c1s"], ["release.switch"], HOW).map((one) => ({ ...one, after: 1 }));
  await playAll([...back, ...chosen].map((trouble) => ({ ...WORKS, troubles: [trouble], isUpdateFailing: true })));
}, 600_000);

/** Every pair is some thousands: each step takes as many as are wanted, evenly, and BOXYARD_MODEL_PAIRS=all takes them all. */
const PAIRS = process.env["BOXYARD_MODEL_PAIRS"] ?? "40";

test(`nor do two of them at once: ${PAIRS} pairs`, async () => {
  const pairs = TROUBLES.flatMap((one, index) => TROUBLES.slice(index + 1).map((other) => [one, other] as const)).filter(
    ([one, other]) => one.server !== other.server || one.action !== other.action,
  );
  const step = PAIRS === "all" ? 1 : Math.floor(pairs.length / Number(PAIRS));
  const chosen = pairs.filter((_, index) => index % step === 0);
  await playAll(chosen.map((troubles, index) => ({ ...WORKS, troubles, isUpdateFailing: index % 2 === 0 })));
}, 6_000_000);
