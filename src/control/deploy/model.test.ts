import { setTimeout as sleep } from "node:timers/promises";
import fc from "fast-check";
import type { KyselyPlugin } from "kysely";
import { afterAll, beforeAll, expect, test } from "vitest";
import { until } from "#base/retry.ts";
import type { Deployment } from "#contract/deployment.ts";
import { addDatabaseServer, addWebsite, ended, pushOf, startQuickly } from "#harness/deployments.ts";
import { startPostgres, type TestPostgres } from "#harness/postgres.ts";
import { type Asked, type Behaviour, SimulatedYard } from "#harness/simulated-yard.ts";
import { deploymentEvents } from "../store/deployments.ts";
import type { Store } from "../store/schema.ts";
import { findWebsiteOnYard } from "../store/website-on-yard.ts";
import { isFinal } from "./states.ts";

const CACHES = ["c1v1", "c1v2", "c2v1"];
const CARRIERS: Record<string, readonly string[]> = { s1: ["c1b1", "c1b2", "c1s"], s2: ["c2b1", "c2s"] };
const SHORT_ACTIONS = ["release.switch", "release.withdraw"];
let postgres: TestPostgres;

beforeAll(async () => {
  postgres = await startPostgres();
});
afterAll(() => postgres.stop());

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

test("whatever servers do and wherever control dies, every deployment ends, whole or not at all, no visitor meets two releases, and all servers get there", async () => {
  await fc.assert(
    fc.asyncProperty(scenarios, async (scenario) => {
      const store = await postgres.freshStore();
      await addWebsite(store, {
        website: "s1",
        cluster: "c1",
        servers: { c1b1: "box", c1b2: "box", c1s: "shell", c1v1: "cache", c1v2: "cache" },
      });
      await addWebsite(store, { website: "s2", cluster: "c2", servers: { c2b1: "box", c2s: "shell", c2v1: "cache" } });
      await addDatabaseServer(store);
      const yard = new SimulatedYard((server, action, nth) => behaviourOf(scenario.troubles, { server, action, nth }));
      yard.hooks = scenario.hooks === "none" ? [] : ["update", "after"];
      yard.isBuildFailing = scenario.isBuildFailing;
      yard.holdSeconds = scenario.holdSeconds;
      yard.snapshotsDatabases = scenario.snapshotsDatabases;
      if (scenario.hooks === "fails") yard.failingHooks.add("update");
      const running = runThroughDeaths(store, yard, scenario.deaths);
      for (const [index, { website, pauseMs, needsBuild }] of scenario.pushes.entries()) {
        yard.push({ ...pushOf(website, index + 1), needsBuild });
        await sleep(pauseMs);
      }
      const last = await running;
      const deployments = await ended(store, scenario.pushes.length);
      expect(deployments).toHaveLength(scenario.pushes.length);
      await until("every box to get visitors and to serve the release", () => isWhole(store, yard), {
        timeoutMs: 5_000,
        everyMs: 5,
      }).finally(() => last.stop());
      expect(yard.mixtures).toEqual([]);
      const areRestored =
        scenario.snapshotsDatabases && !scenario.troubles.some(({ action }) => action === "database.restore" || action === "hook.end");
      for (const website of ["s1", "s2"]) {
        await checkWebsite(store, yard, { website, deployments });
        if (areRestored && scenario.hooks !== "none") expectDatabaseOfRelease(yard, website, lastLive(deployments, website));
      }
      await store.destroy();
    }),
    {
      numRuns: Number(process.env["BOXYARD_MODEL_RUNS"] ?? 25),
      endOnFailure: true,
      interruptAfterTimeLimit: 100_000,
    },
  );
}, 150_000);

// Only requests with a short time limit may hang: the others would make every run last for minutes.
function behaviourOf(all: readonly Trouble[], { server, action, nth }: Pick<Trouble, "server" | "action" | "nth">): Behaviour {
  const trouble = all.find((one) => one.server === server && one.action === action && nth >= one.nth && nth < one.nth + one.times);
  if (trouble === undefined) return "ok";
  const mayHang = SHORT_ACTIONS.includes(action);
  return mayHang || trouble.behaviour === "away" ? trouble.behaviour : "refuses";
}

/** Runs one process after the other, each until its death; gives the last, which lives. */
async function runThroughDeaths(store: Store, yard: SimulatedYard, deaths: readonly number[]): Promise<{ stop(): Promise<void> }> {
  for (const uses of deaths) {
    const death = Promise.withResolvers<void>();
    let left = uses;
    const tick = (): void => {
      if (--left > 0) return;
      death.resolve();
      throw new Error("this process is dead");
    };
    const plugin: KyselyPlugin = {
      transformQuery: ({ node }) => {
        tick();
        return node;
      },
      transformResult: async ({ result }) => result,
    };
    const process = startQuickly(store.withPlugin(plugin), yard.fabric(tick));
    await Promise.race([death.promise, sleep(1_000)]);
    await process.stop();
  }
  return startQuickly(store, yard.fabric());
}

interface Ended {
  readonly website: string;
  readonly deployments: readonly Deployment[];
}

async function checkWebsite(store: Store, yard: SimulatedYard, { website, deployments }: Ended): Promise<void> {
  const own = deployments.filter((one) => one.website === website);
  for (const one of own) {
    const told = new Set(yard.settled.get(one.push ?? ""));
    expect(told, `settled ${one.push}`).toEqual(new Set([one.state === "live"]));
    const asked = yard.asked.filter((request) => request.website === website);
    expectNoWayForthAfterBack(asked, one);
    if (one.state === "failed" || one.state === "superseded") expect(asked.some((request) => isSwitch(request, one.commit))).toBe(false);
  }
  const release = (await findWebsiteOnYard(store, website))?.release ?? null;
  expect(release, "the release in the rows is the last that went live").toBe(lastLive(own, website));
  await expectOneAtATime(store, own);
}

function lastLive(deployments: readonly Deployment[], website: string): string | null {
  const live = deployments.filter((one) => one.website === website && one.state === "live");
  return live.toSorted((a, b) => (a.finishedAt ?? "").localeCompare(b.finishedAt ?? "")).at(-1)?.commit ?? null;
}

function expectDatabaseOfRelease(yard: SimulatedYard, website: string, release: string | null): void {
  expect(yard.databases.get(`db${website.slice(1)}`) ?? null, "the database is as the live release has left it").toBe(release);
}

/** Whether no server is fenced, nobody waits at a cache, and all carry the release of their website; null when not. */
async function isWhole(store: Store, yard: SimulatedYard): Promise<true | null> {
  const fence = await store.selectFrom("fence").select("server").executeTakeFirst();
  if (fence !== undefined) return null;
  if (CACHES.some((cache) => yard.isHeld(cache, `s${cache[1]}`))) return null;
  for (const [website, servers] of Object.entries(CARRIERS)) {
    const release = (await findWebsiteOnYard(store, website))?.release ?? null;
    if (servers.some((server) => (yard.live.get(`${server} ${website}`) ?? null) !== release)) return null;
  }
  return true;
}

function isSwitch({ action, release }: Asked, commit: string): boolean {
  return action === "release.switch" && release === commit;
}

function expectNoWayForthAfterBack(asked: readonly Asked[], { commit, finishedAt }: Deployment): void {
  const inTime = asked.filter(({ at }) => at <= (finishedAt ?? ""));
  const turns = inTime.filter(({ action }) => action === "release.switch" || action === "release.withdraw");
  const forth = turns.findIndex((request) => isSwitch(request, commit));
  const back = turns.findIndex((request, index) => forth >= 0 && index > forth && !isSwitch(request, commit));
  expect(
    turns.findLastIndex((request) => isSwitch(request, commit)),
    "a switch after the decision to go back",
  ).toBeLessThanOrEqual(back < 0 ? turns.length : back);
}

/** Between the start and the end of a deployment no other of the same website has begun. */
async function expectOneAtATime(store: Store, own: readonly Deployment[]): Promise<void> {
  const spans: { from: string; to: string }[] = [];
  for (const one of own.filter((deployment) => deployment.state !== "superseded")) {
    const events = ((await deploymentEvents(store, one.id, 0))?.events ?? []).filter((event) => event.kind === "deployment");
    const last = events.at(-1);
    expect(last !== undefined && isFinal(last.state), "the last event is final").toBe(true);
    spans.push({ from: events[0]?.at ?? "", to: last?.at ?? "" });
  }
  spans.sort((a, b) => a.from.localeCompare(b.from));
  for (const [index, span] of spans.entries()) expect(index === 0 || (spans[index - 1]?.to ?? "") <= span.from).toBe(true);
}
