// Takes some minutes in its slice, which tries all scenarios and ten times as many pairs.
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { mapParallel } from "#base/parallel.ts";
import { addDatabaseServer, addWebsite, ended, pushOf, startQuickly } from "#harness/deployments.ts";
import { becomesWhole, checkWebsite, lastLive, runThroughDeaths, type Trial } from "#harness/model.ts";
import { PacedDatabase } from "#harness/paced-store.ts";
import { empty, startPostgres, type TestPostgres } from "#harness/postgres.ts";
import { sayHowToRepeat } from "#harness/say-how-to-repeat.ts";
import { SEED } from "#harness/seed.ts";
import { type Behaviour, SimulatedYard } from "#harness/simulated-yard.ts";
import { randomFrom, VirtualClock } from "#harness/virtual-clock.ts";
import type { Store } from "../store/schema.ts";

const SERVERS = { c1b1: "box", c1b2: "box", c1s: "shell", c1v1: "cache", c1v2: "cache" } as const;
const CARRIERS = { s1: ["c1b1", "c1b2", "c1s"] };
/** Scenarios that run side by side, each kind in a database of its own. */
const LANES = 2;
/** How many requests of its kind a trouble lasts: longer than all that is tried again at once. */
const TIMES = 12;

interface Lane {
  readonly rows: Store;
  readonly database: PacedDatabase;
}

let postgres: TestPostgres;
let idle: Lane[];

beforeAll(async () => {
  postgres = await startPostgres();
  const stores = await Promise.all(Array.from({ length: LANES }, () => postgres.freshStore()));
  idle = await Promise.all(stores.map(async (rows) => ({ rows, database: await PacedDatabase.of(rows) })));
}, 300_000);
afterAll(async () => {
  await Promise.all(idle.map(({ database }) => database.end()));
  await postgres.stop();
});
beforeEach(sayHowToRepeat);

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
  const lane = idle.pop();
  if (lane === undefined) throw new Error("no lane is free");
  try {
    await empty(lane.rows);
    await addWebsite(lane.rows, { website: "s1", cluster: "c1", servers: SERVERS });
    await addDatabaseServer(lane.rows);
    const clock = new VirtualClock(SEED);
    return await clock.during(() => playOn({ store: lane.database.storeOn(clock), clock }, scenario));
  } finally {
    idle.push(lane);
  }
}

async function playOn({ store, clock }: Pick<Trial, "store" | "clock">, { troubles, isUpdateFailing, death }: Scenario): Promise<number> {
  const begun = new Map<string, number>();
  let isArmed = false;
  const yard = new SimulatedYard(clock, (server, action) => {
    const trouble = isArmed ? troubles.find((one) => one.server === server && one.action === action) : undefined;
    if (trouble === undefined) return "ok";
    const key = `${server} ${action}`;
    begun.set(key, (begun.get(key) ?? 0) + 1);
    const nth = (begun.get(key) ?? 0) - (trouble.after ?? 0);
    return nth > 0 && nth <= TIMES ? trouble.behaviour : "ok";
  });
  const trial = { store, yard, clock };
  yard.longestMs = 60;
  const before = startQuickly(store, yard.fabric(), clock);
  yard.push(pushOf("s1", 1));
  await ended(trial, 1);
  await becomesWhole(trial, CARRIERS);
  await before.stop();
  Object.assign(yard, { hooks: ["update", "after"], holdSeconds: 30, snapshotsDatabases: true });
  if (isUpdateFailing) yard.failingHooks.add("update");
  isArmed = true;
  yard.push(pushOf("s1", 2));
  let uses = 0;
  const count = (): void => void uses++;
  const last = death === null ? startQuickly(store, yard.fabric(count), clock) : await runThroughDeaths(trial, [death]);
  try {
    const deployments = await ended(trial, 2);
    await becomesWhole(trial, CARRIERS);
    expect(yard.visitors.mixtures).toEqual([]);
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

/** Plays them all, and tells of each that does not end as it should. */
async function playAll(scenarios: readonly Scenario[]): Promise<void> {
  const failed: string[] = [];
  await mapParallel(scenarios, LANES, async (scenario) => {
    await play(scenario).catch((thrown: unknown) => failed.push(`${JSON.stringify(scenario)}: ${String(thrown).slice(0, 400)}`));
  });
  expect(failed).toEqual([]);
}

const WORKS = { isUpdateFailing: false, death: null } as const;

/** One in so many scenarios is tried; the seed says which, so that a few runs try all of them. BOXYARD_MODEL_SHARE=1 tries all at once. */
const SHARE = Number(process.env["BOXYARD_MODEL_SHARE"] ?? 3);

function shareOf<T>(all: readonly T[]): readonly T[] {
  return all.filter((_, index) => index % SHARE === SEED % SHARE);
}

test("wherever control dies on the way of a deployment that keeps databases, has visitors wait and updates, it ends whole", async () => {
  const uses = await play({ ...WORKS, troubles: [] });
  expect(uses).toBeGreaterThan(20);
  const deaths = Array.from({ length: uses }, (_, index) => index + 1);
  await playAll(shareOf(deaths).map((death) => ({ ...WORKS, troubles: [], death })));
}, 600_000);

test("whatever one server does with one kind of request, it ends whole", async () => {
  await playAll(shareOf(TROUBLES).map((trouble) => ({ ...WORKS, troubles: [trouble] })));
}, 600_000);

test("the same when the update fails and a server refuses or says nothing", async () => {
  const chosen = TROUBLES.filter(({ behaviour }) => behaviour === "refuses" || behaviour === "mute");
  // One that switches and does not hear that it is to go back.
  const back = all(["c1b1", "c1b2", "c1s"], ["release.switch"], HOW).map((one) => ({ ...one, after: 1 }));
  await playAll(shareOf([...back, ...chosen]).map((trouble) => ({ ...WORKS, troubles: [trouble], isUpdateFailing: true })));
}, 600_000);

/** Every pair is some thousands: the seed chooses as many as are wanted, and BOXYARD_MODEL_PAIRS=all takes them all. */
const PAIRS = process.env["BOXYARD_MODEL_PAIRS"] ?? "40";

test(`nor do two of them at once: ${PAIRS} pairs`, async () => {
  const pairs = TROUBLES.flatMap((one, index) => TROUBLES.slice(index + 1).map((other) => [one, other] as const)).filter(
    ([one, other]) => one.server !== other.server || one.action !== other.action,
  );
  const random = randomFrom(SEED);
  const inAnyOrder = pairs.map((pair) => ({ pair, draw: random() })).sort((a, b) => a.draw - b.draw);
  const chosen = PAIRS === "all" ? inAnyOrder : inAnyOrder.slice(0, Number(PAIRS));
  await playAll(chosen.map(({ pair }, index) => ({ ...WORKS, troubles: pair, isUpdateFailing: index % 2 === 0 })));
}, 6_000_000);
