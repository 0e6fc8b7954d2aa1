import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { timestamp } from "#base/clock.ts";
import { Fault } from "#base/fault.ts";
import { silentLog } from "#base/log.ts";
import { until } from "#base/retry.ts";
import { banPages, letGo } from "#contract/actions/cache.ts";
import { restartUnits, status } from "#contract/actions/server.ts";
import type { Role, ServerName } from "#contract/names.ts";
import type { ServerStatus } from "#contract/status.ts";
import { type MemoryBus, memoryBus } from "#fabric/memory/bus.ts";
import { PacedDatabase } from "#harness/paced-store.ts";
import { startPostgres, type TestPostgres } from "#harness/postgres.ts";
import { sayHowToRepeat } from "#harness/say-how-to-repeat.ts";
import { SEED } from "#harness/seed.ts";
import { VirtualClock } from "#harness/virtual-clock.ts";
import { Rotation } from "../rotation/rotation.ts";
import { insertCluster } from "../store/clusters.ts";
import type { Store } from "../store/schema.ts";
import { addServer, listServerRows } from "../store/servers.ts";
import { storePlan } from "../store/specs.ts";
import { createWebsite } from "../store/websites.ts";
import { Waves } from "./waves.ts";

const SUBNET = "10.99.0.0/24";
let postgres: TestPostgres;
let database: PacedDatabase;
let clock: VirtualClock;
let store: Store;
let bus: MemoryBus;
let rotation: Rotation;
let waves: Waves;
/** Servers that have something to restart. */
let waiting: Set<ServerName>;
/** What a server's restart ends with; nothing for well. */
let faults: Map<ServerName, string>;
/** Who restarted, with all that were out of rotation or restarting at that moment. */
let restarts: { readonly server: ServerName; readonly without: readonly ServerName[] }[];
/** Caches that do not let go of pages, and so do not return. */
let isDeaf: Set<ServerName>;
/** Servers that always have something to restart. */
let isEndless: Set<ServerName>;
const RESTART_MS = 2_000;

beforeAll(async () => {
  postgres = await startPostgres();
  database = await PacedDatabase.of(await postgres.emptyStore());
});
afterAll(async () => {
  await database.end();
  await postgres.stop();
});

beforeEach(async () => {
  sayHowToRepeat();
  await postgres.emptyStore();
  clock = new VirtualClock(SEED);
  clock.start();
  store = database.storeOn(clock);
  bus = memoryBus(clock);
  [waiting, faults, restarts, isDeaf, isEndless] = [new Set(), new Map(), [], new Set(), new Set()];
  await add("edge1", "edge", null);
  await add("db1", "database", null);
  for (let nth = 0; nth < 2; nth++) {
    const cluster = await insertCluster(store);
    const certificate = { chainPem: "", keyPem: "", expiresAt: new Date() };
    const domain = { name: `${cluster}.example.test`, kind: "main" as const, certificate };
    await createWebsite(store, { cluster, environment: "production", branch: "main", domain });
    for (const [suffix, role] of [
      ["v1", "cache"],
      ["v2", "cache"],
      ["b1", "box"],
      ["b2", "box"],
    ] as const)
      await add(`${cluster}${suffix}`, role, cluster);
  }
  const fabric = bus.joinAsControl();
  rotation = new Rotation({ store, fabric, log: silentLog(), plan, clock, keepsFenced: (row) => waves.keepsFenced(row) });
  waves = new Waves({ store, fabric, log: silentLog(), rotation, areBrokersWell: () => true, clock });
  await plan();
  rotation.start();
});
afterEach(async () => {
  await waves.stop();
  await rotation.stop();
  await clock.stop();
});

async function add(name: ServerName, role: Role, cluster: string | null): Promise<void> {
  await addServer(store, SUBNET, { name, roles: [role], cluster, hostKey: null });
  const end = bus.joinAsServer(name);
  end.answer(banPages, async () => {
    if (isDeaf.has(name)) throw new Fault("trial.deaf", "it does not let go");
    return { banned: true as const };
  });
  end.answer(letGo, async () => ({ held: false as const }));
  end.answer(status, async () => statusOf(name, 0));
  end.answer(restartUnits, async () => {
    const without = (await listServerRows(store)).filter(({ fence }) => fence !== null).map((row) => row.name);
    restarts.push({ server: name, without });
    await clock.sleep(RESTART_MS);
    const message = faults.get(name);
    // What was refused is put back, and waits on.
    if (message === undefined && !isEndless.has(name)) waiting.delete(name);
    beats(name);
    return { generation: 1, faults: message === undefined ? [] : [{ resource: "varnish", message }] };
  });
}

function statusOf(server: ServerName, generation: number): ServerStatus {
  const at = timestamp(clock);
  const message = faults.get(server);
  return {
    ...{ server, at, startedAt: at, count: 1, generation, targetGeneration: generation, roles: [], releases: {}, facts: {} },
    faults: message === undefined || waiting.has(server) ? [] : [{ resource: "varnish", code: "trial.broken", message }],
    restarts: waiting.has(server) ? ["a.service"] : [],
  };
}

let generation = 0;
const beats = (name: ServerName): void => bus.hear(statusOf(name, generation));

/** Every server gets a next generation, and reaches it at once. */
async function plan(): Promise<void> {
  generation++;
  for (const { name } of await listServerRows(store)) {
    const body = { yard: "trial", server: name, address: "10.99.0.9", neighbours: [], roles: {}, brokers: [], policy: {} };
    generation = (await storePlan(store, body, `plan ${generation}`))?.generation ?? generation;
  }
  for (const { name } of await listServerRows(store)) beats(name);
}

function allWait(...names: ServerName[]): void {
  for (const name of names) waiting.add(name);
  for (const name of names) beats(name);
}

const PAIRS = ["c1v1", "c1v2", "c2v1", "c2v2", "c1b1", "c1b2", "c2b1", "c2b2"];
const areDone = (...names: ServerName[]) =>
  until("the restarts", async () => (names.every((name) => restarts.some(({ server }) => server === name)) ? true : null), {
    timeoutMs: 300_000,
    everyMs: 100,
    clock,
  });
const fenced = async () => (await listServerRows(store)).filter(({ fence }) => fence !== null).map(({ name }) => name);

describe("servers that have something to restart", () => {
  test("do it one after the other, each without visitors, while the other of its cluster has them", async () => {
    allWait(...PAIRS, "edge1", "db1");
    waves.start();
    await areDone(...PAIRS, "edge1", "db1");
    await until("all to be in rotation", async () => ((await fenced()).length === 0 ? true : null), {
      timeoutMs: 60_000,
      everyMs: 100,
      clock,
    });
    expect(restarts).toHaveLength(PAIRS.length + 2);
    for (const { server, without } of restarts.filter(({ server }) => PAIRS.includes(server))) {
      expect(without).toContain(server);
      const other = server.endsWith("1") ? `${server.slice(0, -1)}2` : `${server.slice(0, -1)}1`;
      expect(without, server).not.toContain(other);
    }
    expect(waves.troubles()).toEqual([]);
  });

  test("of a kind do it after the first of them has, and not when that went wrong: there it is tried again, less and less often", async () => {
    faults.set("c1v1", "it does not start");
    allWait("c1v1", "c1v2", "c2v1", "c2v2", "c1b1");
    waves.start();
    await areDone("c1v1", "c1b1");
    await clock.sleep(5 * 60_000);
    const tries = restarts.filter(({ server }) => server === "c1v1").length;
    expect(tries).toBeGreaterThanOrEqual(3);
    expect(tries).toBeLessThanOrEqual(4);
    expect(new Set(restarts.map(({ server }) => server))).toEqual(new Set(["c1b1", "c1v1"]));
    expect(waves.troubles()).toEqual([expect.stringMatching(/like c1v1 have stopped.*it does not start/)]);
    expect(await fenced(), "it serves as before").toEqual([]);
    faults.delete("c1v1");
    await areDone("c1v2", "c2v1", "c2v2");
    expect(waves.troubles()).toEqual([]);
  });

  test("of a kind stop when one does not come back into rotation", async () => {
    isDeaf.add("c1v1");
    allWait("c1v1", "c1v2", "c2v1", "c2v2");
    waves.start();
    await clock.sleep(10 * 60_000);
    expect(restarts.map(({ server }) => server)).toEqual(["c1v1"]);
    expect([await fenced(), waves.troubles()]).toEqual([["c1v1"], [expect.stringMatching(/not in rotation again in time/)]]);
    isDeaf.clear();
    await areDone("c1v2", "c2v1", "c2v2");
  });

  test("that have something to restart again and again are slowed down", async () => {
    isEndless.add("c1v1");
    allWait("c1v1");
    waves.start();
    await clock.sleep(5 * 60_000);
    expect(restarts.length).toBeLessThanOrEqual(4);
    expect(waves.troubles()).toEqual([expect.stringMatching(/a.service to restart again so soon/)]);
  });

  test("and are deleted meanwhile hold up nobody for long, and are no trouble", async () => {
    isDeaf.add("c1v1");
    allWait("c1v1", "c2v1");
    waves.start();
    await areDone("c1v1");
    await store.deleteFrom("server").where("name", "=", "c1v1").execute();
    await areDone("c2v1");
    expect(waves.troubles()).toEqual([]);
  });

  test("wait while the other of their cluster gets no visitors", async () => {
    await store.insertInto("fence").values({ server: "c1v2", reason: "trial", deployment: null }).execute();
    faults.set("c1v2", "it is broken");
    beats("c1v2");
    allWait("c1v1");
    waves.start();
    await clock.sleep(60_000);
    expect(restarts).toEqual([]);
    faults.delete("c1v2");
    beats("c1v2");
    await areDone("c1v1");
  });

  test("are left alone when they are not there", async () => {
    allWait("db1");
    await bus.joinAsControl().forget("db1");
    waves.start();
    await clock.sleep(30_000);
    expect(restarts).toEqual([]);
  });
});
