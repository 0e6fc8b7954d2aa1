import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { timestamp } from "#base/clock.ts";
import { Fault } from "#base/fault.ts";
import { silentLog } from "#base/log.ts";
import { until } from "#base/retry.ts";
import { banPages, letGo } from "#contract/actions/cache.ts";
import { probe } from "#contract/actions/release.ts";
import { status } from "#contract/actions/server.ts";
import { eventLine } from "#contract/event-line.ts";
import type { CommitId, Role, ServerName, WebsiteId } from "#contract/names.ts";
import type { ServerStatus } from "#contract/status.ts";
import { type MemoryBus, memoryBus } from "#fabric/memory/bus.ts";
import { PacedDatabase } from "#harness/paced-store.ts";
import { startPostgres, type TestPostgres } from "#harness/postgres.ts";
import { sayHowToRepeat } from "#harness/say-how-to-repeat.ts";
import { SEED } from "#harness/seed.ts";
import { VirtualClock } from "#harness/virtual-clock.ts";
import { insertCluster } from "../store/clusters.ts";
import { recordOrder } from "../store/deployments.ts";
import { addFences } from "../store/fences.ts";
import type { Store } from "../store/schema.ts";
import { addServer, listServerRows, setServerState } from "../store/servers.ts";
import { storePlan } from "../store/specs.ts";
import { createWebsite } from "../store/websites.ts";
import { Rotation } from "./rotation.ts";

const SUBNET = "10.99.0.0/24";
const RELEASE = "a".repeat(40);
const OTHER = "b".repeat(40);
const signal = new AbortController().signal;

let postgres: TestPostgres;
let database: PacedDatabase;
let clock: VirtualClock;
let store: Store;
let bus: MemoryBus;
let rotation: Rotation;
let website: WebsiteId;
/** Servers that confirm what is planned as soon as it is. */
let confirming: Set<ServerName>;
let plans: number;
/** What each server has live. */
let live: Map<ServerName, CommitId | null>;
/** Requests that servers fail. */
let failing: Set<string>;
const asked: string[] = [];

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
  [plans, confirming, live, failing] = [0, new Set(), new Map(), new Set()];
  asked.length = 0;
  const cluster = await insertCluster(store);
  const certificate = { chainPem: "", keyPem: "", expiresAt: new Date() };
  website = await createWebsite(store, {
    cluster,
    environment: "production",
    branch: "main",
    domain: { name: "www.example.test", kind: "main", certificate },
  });
  await store.updateTable("website").set({ release: RELEASE }).execute();
  const roles: [ServerName, Role, string | null][] = [
    ["edge1", "edge", null],
    ["c1v1", "cache", cluster],
    ["c1v2", "cache", cluster],
    ["c1b1", "box", cluster],
    ["c1b2", "box", cluster],
  ];
  for (const [name, role, of] of roles) {
    await addServer(store, SUBNET, { name, roles: [role], cluster: of, hostKey: null });
    confirming.add(name);
    join(name);
  }
  const fabric = bus.joinAsControl();
  rotation = new Rotation({ store, fabric, log: silentLog(), plan, clock });
});
afterEach(async () => {
  await rotation.stop();
  await clock.stop();
});

function abortsAfter(ms: number): AbortSignal {
  const controller = new AbortController();
  clock.after(ms, () => controller.abort());
  return controller.signal;
}

/** A server that answers what the rotation asks. */
function join(name: ServerName): void {
  const end = bus.joinAsServer(name);
  const note = (what: string): void => {
    asked.push(`${name} ${what}`);
    if (failing.has(`${name} ${what}`)) throw new Fault("trial.failed", `${name} fails`);
  };
  end.answer(status, async () => {
    note("status");
    return statusOf(name, 0);
  });
  end.answer(probe, async ({ website: id }) => {
    note(`probe ${id}`);
    return { release: null, status: 200, durationMs: 1 };
  });
  end.answer(banPages, async ({ keep }) => {
    note(`ban all but ${keep}`);
    return { banned: true as const };
  });
  end.answer(letGo, async () => {
    note("let go");
    return { held: false as const };
  });
}

function statusOf(server: ServerName, generation: number, faults: ServerStatus["faults"] = []): ServerStatus {
  const at = timestamp(clock);
  const releases = server.includes("b") ? { [website]: live.get(server) ?? null } : {};
  return { server, at, startedAt: at, count: 1, generation, targetGeneration: generation, roles: [], faults, releases, facts: {} };
}

/** Every server gets a next generation, which those that confirm reach at once. */
async function plan(): Promise<void> {
  plans++;
  for (const { name } of await listServerRows(store)) {
    const body = { yard: "trial", server: name, address: "10.99.0.9", neighbours: [], roles: {}, brokers: [], policy: {} };
    const spec = await storePlan(store, body, `plan ${plans}`);
    if (spec !== null && confirming.has(name)) bus.hear(statusOf(name, spec.generation));
  }
}

const fenceOf = async (name: ServerName): Promise<string | null | undefined> =>
  (await listServerRows(store)).find((row) => row.name === name)?.fence;
const fence = (name: ServerName) => addFences(store, [{ server: name, reason: "it has not switched", deployment: null }]);
const lines = (): string[] => bus.events.flatMap((event) => (event.kind === "server" ? [eventLine(event)] : []));
const returned = (name: ServerName, timeoutMs = 6_000) =>
  until(`${name} to return`, async () => ((await fenceOf(name)) === null ? true : null), { timeoutMs, everyMs: 10, clock });

describe("confirmation that visitors are not sent to fenced servers", () => {
  test("comes from all caches, and needs no edge while none of them is fenced", async () => {
    confirming.delete("edge1");
    await rotation.confirm("c1", signal);
    expect(plans).toBe(1);
    expect(await fenceOf("c1v1")).toBeNull();
    expect(lines()).toEqual([]);
  });

  test("waits for a cache that is late, but in time, whatever is heard meanwhile, and no longer than that", async () => {
    confirming.delete("c1v1");
    const startedAtMs = clock.elapsedMs();
    clock.after(3_000, () => bus.hear(statusOf("c1b1", 1)));
    clock.after(8_000, () => bus.hear(statusOf("c1v1", 1)));
    await rotation.confirm("c1", signal);
    expect(await fenceOf("c1v1")).toBeNull();
    expect(clock.elapsedMs() - startedAtMs).toBeGreaterThanOrEqual(8_000);
    expect(clock.elapsedMs() - startedAtMs).toBeLessThan(9_500);
  });

  test("fences a cache that does not confirm, says so in an event, and waits for edges to confirm that", async () => {
    confirming.delete("c1v1");
    await rotation.confirm("c1", signal);
    expect(await fenceOf("c1v1")).toBe("it has not confirmed which boxes visitors may be sent to");
    expect(await fenceOf("c1v2")).toBeNull();
    expect(lines()).toEqual(["c1v1 is fenced: it has not confirmed which boxes visitors may be sent to"]);
    expect(plans).toBe(2);
  });

  test("cannot be had when no cache confirms, and none is fenced for it", async () => {
    for (const cache of ["c1v1", "c1v2"]) confirming.delete(cache);
    await expect(rotation.confirm("c1", signal)).rejects.toMatchObject({
      code: "rotation.unconfirmed",
      message: expect.stringMatching(/c1v1, c1v2 have/),
    });
    expect([await fenceOf("c1v1"), await fenceOf("c1v2")]).toEqual([null, null]);
  });

  test("cannot be had when a fenced cache's edge does not confirm", async () => {
    for (const late of ["c1v1", "edge1"]) confirming.delete(late);
    await expect(rotation.confirm("c1", signal)).rejects.toMatchObject({
      code: "rotation.unconfirmed",
      message: expect.stringMatching(/edge1 has/),
    });
  });

  test("comes from edges, too, when a cache was fenced before", async () => {
    await fence("c1v1");
    confirming.delete("edge1");
    await expect(rotation.confirm("c1", signal)).rejects.toMatchObject({ code: "rotation.unconfirmed" });
    confirming.add("edge1");
    await rotation.confirm("c1", signal);
  });

  test("does not need other clusters' caches, those that leave, or boxes", async () => {
    const other = await insertCluster(store);
    await addServer(store, SUBNET, { name: "c2v1", roles: ["cache"], cluster: other, hostKey: null });
    await setServerState(store, ["c1v1"], "leaving");
    for (const late of ["c1v1", "c1b1", "c1b2"]) confirming.delete(late);
    await rotation.confirm("c1", signal);
    expect(lines()).toEqual([]);
  });

  test("is not waited for after the signal has aborted", async () => {
    confirming.delete("c1v1");
    await expect(rotation.confirm("c1", abortsAfter(1_000))).rejects.toThrow();
    expect(await fenceOf("c1v1")).toBeNull();
  });

  test("is not waited for when the signal had aborted before", async () => {
    confirming.delete("c1v1");
    await expect(rotation.confirm("c1", AbortSignal.abort())).rejects.toThrow();
    expect(await fenceOf("c1v1")).toBeNull();
  });

  test("of fenced caches comes with an event for each that is newly fenced", async () => {
    await fence("c1v1");
    const fences = ["c1v1"].map((server) => ({ server, reason: "it does not hold requests", deployment: null }));
    await rotation.fence("c1", fences, signal);
    expect(lines()).toEqual([]);
    await store.deleteFrom("fence").execute();
    await rotation.fence("c1", fences, signal);
    expect(lines()).toEqual(["c1v1 is fenced: it does not hold requests"]);
  });
});

describe("a fenced server", () => {
  test("returns by itself when it serves the releases of its cluster, which is planned, and said in an event", async () => {
    await fence("c1b1");
    await plan();
    live.set("c1b1", RELEASE);
    bus.hear(statusOf("c1b1", 1));
    rotation.start();
    await returned("c1b1");
    await clock.sleep(1_000);
    expect(lines()).toEqual(["c1b1 is right again: visitors are sent to it"]);
    expect(plans).toBe(2);
    expect(asked).toContain(`c1b1 probe ${website}`);
  });

  /** It stays fenced, although it is looked at many times; as soon as what was in the way is gone, it returns. */
  async function staysUntil(right: () => void | Promise<void>, name: ServerName = "c1b1"): Promise<void> {
    rotation.start();
    await clock.sleep(11_000);
    expect(await fenceOf(name)).not.toBeNull();
    expect(lines()).toEqual([]);
    await right();
    await returned(name);
  }

  /** Fenced and right in all that is not changed afterwards. */
  async function fencedBox(): Promise<void> {
    await fence("c1b1");
    await plan();
    live.set("c1b1", RELEASE);
    bus.hear(statusOf("c1b1", 1));
  }

  test("stays while it serves another release", async () => {
    await fencedBox();
    live.set("c1b1", OTHER);
    bus.hear(statusOf("c1b1", 1));
    await staysUntil(() => void live.set("c1b1", RELEASE));
  });

  test("stays while it serves nothing", async () => {
    await fencedBox();
    live.delete("c1b1");
    await staysUntil(() => void live.set("c1b1", RELEASE));
  });

  /** A second website of the cluster, without a release so far. */
  const addSecond = async (): Promise<WebsiteId> =>
    createWebsite(store, {
      cluster: "c1",
      environment: "production",
      branch: "main",
      domain: { name: "www.second.test", kind: "main", certificate: { chainPem: "", keyPem: "", expiresAt: new Date() } },
    });

  test("returns although another website of its cluster has no release yet, and it says nothing of that", async () => {
    await addSecond();
    await fencedBox();
    rotation.start();
    await returned("c1b1");
  });

  test("stays while it serves another release of one website of two", async () => {
    const second = await addSecond();
    await store.updateTable("website").set({ release: OTHER }).where("id", "=", second).execute();
    await fencedBox();
    await staysUntil(async () => void (await store.updateTable("website").set({ release: null }).where("id", "=", second).execute()));
  });

  test("stays while it refuses to say what it serves", async () => {
    await fencedBox();
    failing.add("c1b1 status");
    await staysUntil(() => void failing.clear());
  });

  test("stays while its web server does not answer", async () => {
    await fencedBox();
    failing.add(`c1b1 probe ${website}`);
    await staysUntil(() => void failing.clear());
  });

  test("stays while it has not converged", async () => {
    await fencedBox();
    bus.hear(statusOf("c1b1", 0));
    await staysUntil(() => bus.hear(statusOf("c1b1", 1)));
  });

  test("stays while it has faults", async () => {
    await fencedBox();
    bus.hear(statusOf("c1b1", 1, [{ resource: "web server: configuration apache", code: "converge.refused", message: "no" }]));
    await staysUntil(() => bus.hear(statusOf("c1b1", 1)));
  });

  test("stays while a deployment of its cluster is between its switch and its end, and returns within half a second of that", async () => {
    await fencedBox();
    await recordOrder(store, { website, kind: "deploy", commit: RELEASE, caller: "ada", holdSeconds: null, needsBuild: false });
    await store.updateTable("deployment").set({ state: "switching" }).execute();
    rotation.start();
    await clock.sleep(2_000);
    expect(await fenceOf("c1b1")).not.toBeNull();
    await store.updateTable("deployment").set({ state: "live", finished_at: clock.nowMicros() }).execute();
    await returned("c1b1", 500);
  });

  test("that is a cache returns once it keeps only pages of its cluster's releases, and no visitor waits at it", async () => {
    await fence("c1v1");
    await plan();
    failing.add("c1v1 let go");
    await staysUntil(() => void failing.clear(), "c1v1");
    expect(asked).toContain(`c1v1 ban all but ${RELEASE}`);
    expect(asked).toContain("c1v1 let go");
    expect(asked.filter((line) => line.includes("probe"))).toEqual([]);
  });

  test("that is a cache stays while it refuses to drop pages", async () => {
    await fence("c1v1");
    await plan();
    failing.add(`c1v1 ban all but ${RELEASE}`);
    await staysUntil(() => void failing.clear(), "c1v1");
  });

  test("that leaves does not return", async () => {
    await fencedBox();
    await setServerState(store, ["c1b1"], "leaving");
    rotation.start();
    await clock.sleep(20_000);
    expect(await fenceOf("c1b1")).not.toBeNull();
  });

  test("stays after the rotation has stopped", async () => {
    await fencedBox();
    await rotation.stop();
    rotation.start();
    await clock.sleep(20_000);
    expect(await fenceOf("c1b1")).not.toBeNull();
  });
});
