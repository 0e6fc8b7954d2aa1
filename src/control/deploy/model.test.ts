// Takes some minutes in its slice, which tries ten times as many scenarios.
import fc from "fast-check";
import { afterAll, beforeAll, expect, test } from "vitest";
import { addDatabaseServer, addWebsite, ended, pushOf } from "#harness/deployments.ts";
import { becomesWhole, checkWebsite, expectDatabaseOfRelease, lastLive, runThroughDeaths, type Trial } from "#harness/model.ts";
import { PacedDatabase } from "#harness/paced-store.ts";
import { empty, startPostgres, type TestPostgres } from "#harness/postgres.ts";
import { sayHowToRepeat } from "#harness/say-how-to-repeat.ts";
import { SEED } from "#harness/seed.ts";
import { type Behaviour, SimulatedYard } from "#harness/simulated-yard.ts";
import { VirtualClock } from "#harness/virtual-clock.ts";
import type { Store } from "../store/schema.ts";

const CARRIERS: Record<string, readonly string[]> = { s1: ["c1b1", "c1b2", "c1s"], s2: ["c2b1", "c2s"] };
const SHORT_ACTIONS = ["release.switch", "release.withdraw"];
let postgres: TestPostgres;
let rows: Store;
let database: PacedDatabase;

beforeAll(async () => {
  postgres = await startPostgres();
  rows = await postgres.freshStore();
  database = await PacedDatabase.of(rows);
}, 300_000);
afterAll(async () => {
  await database.end();
  await postgres.stop();
});

/** What may go wrong with a server's requests for an action, from the nth on, so many times. */
interface Trouble {
  readonly server: string;
  readonly action: string;
  readonly nth: number;
  readonly times: number;
  readonly behaviour: Behaviour;
}

const troubles = fc.record<Trouble>({
  server: fc.constantFrom("c1b1", "c1b2", "c1b2", "c1s", "c2b1", "c1v1", "c1v2", "db1", "s1x", "git1"),
  action: fc.constantFrom(
    "build.run",
    "release.stage",
    "release.switch",
    "release.switch",
    "release.withdraw",
    "release.probe",
    "converge",
    "server.status",
    "hook.run",
    "hook.end",
    "cache.ban-pages",
    "cache.hold",
    "cache.let-go",
    "database.snapshot",
    "database.restore",
    "git.settle-push",
  ),
  nth: fc.nat(3),
  times: fc.constantFrom(1, 1, 3, 12),
  behaviour: fc.constantFrom("refuses", "away", "deaf", "mute", "late-and-mute"),
});

const scenarios = fc.record({
  /** In which order things happen that happen at once, and how long each takes. */
  order: fc.integer(),
  pushes: fc.array(
    fc.record({ website: fc.constantFrom("s1", "s1", "s2"), pauseMs: fc.constantFrom(0, 5, 40, 120), needsBuild: fc.boolean() }),
    {
      minLength: 1,
      maxLength: 4,
    },
  ),
  isBuildFailing: fc.boolean(),
  troubles: fc.array(troubles, { maxLength: 6 }),
  /** Whether releases have an update hook, and whether it works. */
  hooks: fc.constantFrom("none", "works", "fails"),
  holdSeconds: fc.constantFrom(null, 30),
  snapshotsDatabases: fc.boolean(),
  /** After so many uses of fabric and store the process dies, and a new one starts. */
  deaths: fc.array(fc.integer({ min: 1, max: 70 }), { maxLength: 3 }),
});

type Scenario = typeof scenarios extends fc.Arbitrary<infer T> ? T : never;

const RUNS = Number(process.env["BOXYARD_MODEL_RUNS"] ?? 25);

test(`whatever servers do and wherever control dies, every deployment ends, whole or not at all, no visitor meets two releases, and all servers get there: ${RUNS} scenarios`, async () => {
  sayHowToRepeat();
  await fc.assert(
    fc.asyncProperty(scenarios, async (scenario) => void (await play(scenario))),
    { seed: SEED, numRuns: RUNS, endOnFailure: true },
  );
}, 600_000);

test("a scenario happens in the same way however often it is tried", async () => {
  sayHowToRepeat();
  for (const scenario of fc.sample(scenarios, { seed: SEED, numRuns: 3 })) expect(await play(scenario)).toEqual(await play(scenario));
}, 600_000);

/** Gives what happened, and when. */
async function play(scenario: Scenario): Promise<string[]> {
  await empty(rows);
  await addWebsite(rows, {
    website: "s1",
    cluster: "c1",
    servers: { c1b1: "box", c1b2: "box", c1s: "shell", c1v1: "cache", c1v2: "cache" },
  });
  await addWebsite(rows, { website: "s2", cluster: "c2", servers: { c2b1: "box", c2s: "shell", c2v1: "cache" } });
  await addDatabaseServer(rows);
  const clock = new VirtualClock(scenario.order);
  const yard = new SimulatedYard(clock, (server, action, nth) => behaviourOf(scenario.troubles, { server, action, nth }));
  yard.hooks = scenario.hooks === "none" ? [] : ["update", "after"];
  yard.isBuildFailing = scenario.isBuildFailing;
  yard.holdSeconds = scenario.holdSeconds;
  yard.snapshotsDatabases = scenario.snapshotsDatabases;
  if (scenario.hooks === "fails") yard.failingHooks.add("update");
  await clock.during(() => playOn({ store: database.storeOn(clock), yard, clock }, scenario));
  const asked = yard.asked.map(({ at, server, action }) => `${at} ${action} ${server}`);
  return [...asked, ...yard.events.map(({ at, line }) => `${at} ${line}`)];
}

async function playOn(trial: Trial, scenario: Scenario): Promise<void> {
  const { store, yard, clock } = trial;
  const running = runThroughDeaths(trial, scenario.deaths);
  for (const [index, { website, pauseMs, needsBuild }] of scenario.pushes.entries()) {
    yard.push({ ...pushOf(website, index + 1), needsBuild });
    await clock.sleep(pauseMs);
  }
  const last = await running;
  try {
    const deployments = await ended(trial, scenario.pushes.length);
    expect(deployments).toHaveLength(scenario.pushes.length);
    await becomesWhole(trial, CARRIERS);
    expect(yard.visitors.mixtures).toEqual([]);
    const areRestored =
      scenario.snapshotsDatabases && !scenario.troubles.some(({ action }) => action === "database.restore" || action === "hook.end");
    for (const website of ["s1", "s2"]) {
      await checkWebsite(store, yard, { website, deployments });
      if (areRestored && scenario.hooks !== "none") expectDatabaseOfRelease(yard, website, lastLive(deployments, website));
    }
  } finally {
    await last.stop();
  }
}

// Only requests with a short time limit may hang: the others would make every run last for minutes.
function behaviourOf(all: readonly Trouble[], { server, action, nth }: Pick<Trouble, "server" | "action" | "nth">): Behaviour {
  const trouble = all.find((one) => one.server === server && one.action === action && nth >= one.nth && nth < one.nth + one.times);
  if (trouble === undefined) return "ok";
  const mayHang = SHORT_ACTIONS.includes(action);
  return mayHang || trouble.behaviour === "away" ? trouble.behaviour : "refuses";
}
