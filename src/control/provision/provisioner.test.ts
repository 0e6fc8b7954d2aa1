import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { timestamp } from "#base/clock.ts";
import { Fault } from "#base/fault.ts";
import { silentLog } from "#base/log.ts";
import { type MemoryCloud, memoryCloud } from "#cloud/memory/cloud.ts";
import type { ControlConfig } from "#contract/control-config.ts";
import { ENROLMENT_PATH, Enrolment } from "#contract/enrolment.ts";
import { eventLine } from "#contract/event-line.ts";
import type { Role, ServerName } from "#contract/names.ts";
import { createYardKeys } from "#fabric/identity.ts";
import { type MemoryBus, memoryBus } from "#fabric/memory/bus.ts";
import { publicKeyOf } from "#fabric/native-keys.ts";
import { startPostgres, type TestPostgres } from "#harness/postgres.ts";
import { VirtualClock } from "#harness/virtual-clock.ts";
import { createAuthority } from "../authority/authority.ts";
import type { BusKeys } from "../authority/bus-keys.ts";
import type { Secrets } from "../secrets.ts";
import { insertCluster, markClusterDeleted } from "../store/clusters.ts";
import type { Store } from "../store/schema.ts";
import { addServer, listServerRows, markJoined, requireServer, setEnrolment, setServerState } from "../store/servers.ts";
import { storePlan } from "../store/specs.ts";
import { createWebsite } from "../store/websites.ts";
import { Provisioner } from "./provisioner.ts";

const SUBNET = "10.99.0.0/24";
const config = {
  yard: "trial",
  server: "control1",
  subnet: SUBNET,
  gateway: "10.99.0.1",
  template: "template-1",
  runtimeVolume: "runtime",
} as ControlConfig;

let postgres: TestPostgres;
let secrets: Secrets;
let store: Store;
let cloud: MemoryCloud;
let bus: MemoryBus;
let provisioner: Provisioner;
/** Keys that count, by server. */
let currentKeys: Map<ServerName, string[]>;
/** What was done, in its order: keys taken back, servers withdrawn. */
let steps: string[];
let rowsChanged: number;
/** Who should be there, by the last comparison with the cloud. */
let compared: string[];
let clock: VirtualClock;

beforeAll(async () => {
  postgres = await startPostgres();
  secrets = { authority: await createAuthority("trial"), keys: createYardKeys() } as Secrets;
});
afterAll(() => postgres.stop());

beforeEach(async () => {
  store = await postgres.emptyStore();
  cloud = memoryCloud();
  bus = memoryBus();
  steps = [];
  currentKeys = new Map();
  rowsChanged = 0;
  clock = new VirtualClock(1);
  provisioner = new Provisioner({
    config,
    secrets,
    brokers: ["tls://10.99.0.2:4222"],
    store,
    fabric: bus.joinAsControl(),
    cloud,
    busKeys: {
      current: async () => currentKeys,
      revoke: async (server: ServerName) => {
        const isThere = (await cloud.listServers()).some(({ name }) => name === server);
        steps.push(`revoke ${server}${isThere ? "" : ", which is gone"}`);
      },
    } as unknown as BusKeys,
    attendance: {
      compare: async (servers) => {
        compared = servers.map(({ name }) => name);
      },
    },
    log: silentLog(),
    withdraw: async (server) => void steps.push(`withdraw ${server}`),
    onRowsChanged: () => void rowsChanged++,
    clock,
  });
  await add("control1", ["control"], null, "10.99.0.2");
});

const add = (name: ServerName, roles: readonly Role[], cluster: string | null = null, address?: string): Promise<void> =>
  addServer(store, SUBNET, { name, roles, cluster, hostKey: null }, address);

/** Cluster c1 with servers of these suffixes, made. */
async function newCluster(...suffixes: string[]): Promise<string> {
  const cluster = await insertCluster(store);
  const roles: Record<string, Role> = { b: "box", v: "cache", s: "shell" };
  for (const suffix of suffixes) await add(`${cluster}${suffix}`, [roles[suffix[0] ?? ""] ?? "box"], cluster);
  await provisioner.turn();
  return cluster;
}

const running = async (): Promise<string[]> =>
  (await cloud.listServers()).flatMap(({ name, isRunning }) => (isRunning ? [name] : [])).sort();
const rows = async () => new Map((await listServerRows(store)).map((row) => [row.name, row]));
const lines = (): string[] => bus.events.flatMap((event) => (event.kind === "server" ? [eventLine(event)] : []));

const passes = (ms: number): Promise<void> => clock.during(() => clock.sleep(ms));

async function enrolmentOn(server: ServerName): Promise<Enrolment> {
  const bytes = await cloud.readFile(server, ENROLMENT_PATH);
  return Enrolment.parse(JSON.parse(new TextDecoder().decode(bytes ?? new Uint8Array())));
}

/** The server says that it has reached this generation. */
function reports(server: ServerName, generation: number): void {
  const at = timestamp();
  bus.hear({
    server,
    at,
    startedAt: at,
    count: 1,
    generation,
    targetGeneration: generation,
    roles: [],
    faults: [],
    releases: {},
    facts: {},
  });
}

/** A generation is planned for the server. */
async function planFor(server: ServerName, hash: string): Promise<number> {
  const plan = { yard: "trial", server, address: "10.99.0.9", neighbours: [], roles: {}, brokers: [], policy: {} };
  return (await storePlan(store, plan, hash))?.generation ?? 0;
}

describe("a missing server", () => {
  test("is made, enrolled so that it can join, and started", async () => {
    await add("git1", ["git"]);
    await provisioner.turn();
    expect(await running()).toEqual(["git1"]);
    const enrolment = await enrolmentOn("git1");
    const row = (await rows()).get("git1");
    expect(enrolment).toMatchObject({ yard: "trial", server: "git1", address: row?.address, brokers: ["tls://10.99.0.2:4222"] });
    expect(row?.enrolment).toEqual(enrolment);
    const keys = await store.selectFrom("bus_key").selectAll().where("server", "=", "git1").execute();
    expect(keys).toHaveLength(1);
    expect(await cloud.readFile("git1", "/etc/hostname")).not.toBeNull();
    expect(lines()).toEqual(["git1 has been created"]);
    expect(provisioner.troubles()).toEqual([]);
  });

  test("that runs is neither made nor announced again", async () => {
    await add("git1", ["git"]);
    await provisioner.turn();
    const before = (await rows()).get("git1")?.enrolment;
    await provisioner.turn();
    expect(lines()).toHaveLength(1);
    expect((await rows()).get("git1")?.enrolment).toEqual(before);
  });

  test("that was stopped is started with the identity that it has", async () => {
    await add("git1", ["git"]);
    await provisioner.turn();
    const before = (await rows()).get("git1")?.enrolment;
    await markJoined(store, ["git1"]);
    await cloud.stopServer("git1");
    await provisioner.turn();
    expect(await running()).toEqual(["git1"]);
    expect((await rows()).get("git1")?.enrolment).toEqual(before);
    expect(lines()).toEqual(["git1 has been created", "git1 was off and has been started"]);
    expect(compared).toEqual(["control1", "git1"]);
  });

  test("that the cloud has lost is made again, and an event says that what it held is gone", async () => {
    await add("git1", ["git"]);
    await provisioner.turn();
    await markJoined(store, ["git1"]);
    await cloud.removeServer("git1");
    await provisioner.turn();
    expect(lines()).toEqual(["git1 has been created", "git1 was gone and has been made again: what it alone held is lost"]);
  });

  test("whose creation was cut off before it was heard of is still created, not replaced or started", async () => {
    await add("git1", ["git"]);
    await provisioner.turn();
    await cloud.stopServer("git1");
    await provisioner.turn();
    await cloud.removeServer("git1");
    await provisioner.turn();
    expect(new Set(lines())).toEqual(new Set(["git1 has been created"]));
  });

  test.each([
    { role: "box", volumes: ["files-c1", "runtime"] },
    { role: "shell", volumes: ["files-c1", "runtime"] },
    { role: "cache", volumes: ["runtime"] },
    { role: "builder", volumes: ["build-c1x1", "runtime"] },
  ] as const)("of role $role mounts $volumes", async ({ role, volumes }) => {
    const cluster = await insertCluster(store);
    await add("c1x1", [role], cluster);
    await provisioner.turn();
    expect((await cloud.listVolumes()).sort()).toEqual([...volumes]);
    // Mounted: a volume that a server has does not go away.
    for (const volume of volumes) await expect(cloud.removeVolume(volume)).rejects.toThrow("in use");
  });

  test("has code that it cannot change, and shared files that it can", async () => {
    const cluster = await insertCluster(store);
    await add("c1b1", ["box"], cluster);
    await provisioner.turn();
    await expect(cloud.writeFile("c1b1", { path: "/opt/boxyard/x", content: "" })).rejects.toThrow("read-only");
    await cloud.writeFile("c1b1", { path: "/srv/files/x", content: "" });
  });

  test("that cannot be made is reported with the cause, and the others are made all the same", async () => {
    for (const name of ["edge1", "git1"]) await add(name, [name.slice(0, -1) as Role]);
    const { ensureServer } = cloud;
    cloud.ensureServer = async (want) => {
      if (want.name === "edge1") throw new Fault("cloud.failed", "no space left", { next: "make space" });
      return ensureServer.call(cloud, want);
    };
    await provisioner.turn();
    expect(await running()).toEqual(["git1"]);
    expect(provisioner.troubles()).toEqual(["no space left (make space)"]);
    cloud.ensureServer = ensureServer;
    await provisioner.turn();
    expect(await running()).toEqual(["edge1", "git1"]);
    expect(provisioner.troubles()).toEqual([]);
  });

  test("whose making fails keeps its identity for the next attempt", async () => {
    await add("git1", ["git"]);
    cloud.fail("ensureServer", new Fault("cloud.failed", "no space left"));
    await provisioner.turn();
    const before = (await rows()).get("git1")?.enrolment;
    expect(before).not.toBeNull();
    cloud.mend("ensureServer");
    await provisioner.turn();
    expect((await rows()).get("git1")?.enrolment).toEqual(before);
  });

  test("is not made while the cloud is away, which is reported", async () => {
    await add("git1", ["git"]);
    cloud.fail("check", new Fault("cloud.unreachable", "the cloud is away"));
    await provisioner.turn();
    expect([await running(), provisioner.troubles()]).toEqual([[], ["the cloud is away"]]);
  });
});

describe("control servers", () => {
  test("the one that the provisioner runs on is left alone", async () => {
    await provisioner.turn();
    expect([await running(), provisioner.troubles()]).toEqual([[], []]);
  });

  test("the first one, which the host makes, is started once it has its files, and is reported when it is gone", async () => {
    await store.updateTable("server").set({ name: "control9" }).where("name", "=", "control1").execute();
    await provisioner.turn();
    expect(provisioner.troubles()).toEqual(["control9 is gone from the cloud (the host makes it anew: bin/up)"]);
    await cloud.ensureServer({ name: "control9", template: "t", address: "10.99.0.2", guard: "address", volumes: [], files: [] });
    await cloud.stopServer("control9");
    await provisioner.turn();
    expect(await running()).toEqual([]);
    await cloud.writeFile("control9", { path: ENROLMENT_PATH, content: "{}" });
    await provisioner.turn();
    expect([await running(), provisioner.troubles()]).toEqual([["control9"], []]);
  });

  test("another one is made like any server", async () => {
    await add("control2", ["control", "broker"]);
    await provisioner.turn();
    expect(await running()).toEqual(["control2"]);
  });
});

describe("a server's guard", () => {
  const guards = async () => Object.fromEntries((await cloud.listServers()).map(({ name, guard }) => [name, guard]));
  /** What the cloud is asked to guard. */
  function remembered(): string[] {
    const asked: string[] = [];
    const { guardServer } = cloud;
    cloud.guardServer = async (name, guard) => {
      asked.push(`${name} ${guard}`);
      return guardServer.call(cloud, name, guard);
    };
    return asked;
  }

  test("is set from the start, and lets only edges use other addresses", async () => {
    for (const name of ["edge1", "git1"]) await add(name, [name.slice(0, -1) as Role]);
    const asked = remembered();
    await provisioner.turn();
    await provisioner.turn();
    expect(await guards()).toEqual({ edge1: "hardware", git1: "address" });
    expect(asked).toEqual([]);
  });

  test("is set on servers that are there without it, or with another, once, and on the first control server too", async () => {
    await cloud.ensureServer({ name: "control1", template: "t", address: "10.99.0.2", guard: "hardware", volumes: [], files: [] });
    for (const name of ["edge1", "git1"]) await add(name, [name.slice(0, -1) as Role]);
    await provisioner.turn();
    expect(await guards()).toEqual({ control1: "address", edge1: "hardware", git1: "address" });
    for (const name of ["edge1", "git1"]) cloud.unguard(name);
    const asked = remembered();
    await provisioner.turn();
    await provisioner.turn();
    expect(asked.sort()).toEqual(["edge1 hardware", "git1 address"]);
    expect(await guards()).toEqual({ control1: "address", edge1: "hardware", git1: "address" });
  });

  test("is set on a server that leaves, and neither on one that is deleted nor on one that is not ours", async () => {
    await cloud.ensureServer({ name: "foreign", template: "t", address: "10.99.0.200", guard: "hardware", volumes: [], files: [] });
    await newCluster("v1", "b1");
    await planFor("c1v1", "a");
    await add("git1", ["git"]);
    await provisioner.turn();
    await setServerState(store, ["c1b1"], "leaving");
    await setServerState(store, ["git1"], "deleting");
    for (const name of ["c1b1", "git1", "foreign"]) cloud.unguard(name);
    const asked = remembered();
    await provisioner.turn();
    expect(asked).toEqual(["c1b1 address"]);
    expect(await guards()).toMatchObject({ foreign: null });
  });

  test("that cannot be set is reported, keeps nothing else from being done, and is set in the next turn", async () => {
    await add("git1", ["git"]);
    await provisioner.turn();
    cloud.unguard("git1");
    await add("edge1", ["edge"]);
    cloud.fail("guardServer", new Fault("cloud.failed", "it is busy"));
    await setServerState(store, ["git1"], "leaving");
    await provisioner.turn();
    expect(provisioner.troubles()).toEqual(["it is busy"]);
    expect(await running()).toEqual(["edge1", "git1"]);
    expect((await rows()).get("git1")?.state).toBe("deleting");
    await setServerState(store, ["git1"], "present");
    cloud.mend("guardServer");
    await provisioner.turn();
    expect([await guards(), provisioner.troubles()]).toEqual([{ edge1: "hardware", git1: "address" }, []]);
  });
});

describe("a cache that is made again", () => {
  test("is fenced before it is made when another of its cluster serves", async () => {
    await newCluster("v1", "v2", "b1");
    expect((await rows()).get("c1v1")?.fence).toBeNull();
    await cloud.removeServer("c1v1");
    const changed = rowsChanged;
    await provisioner.turn();
    expect((await rows()).get("c1v1")?.fence).toBe("it is made anew");
    expect((await rows()).get("c1v2")?.fence).toBeNull();
    expect(rowsChanged).toBeGreaterThan(changed);
    expect(await running()).toContain("c1v1");
  });

  test("is not fenced when it is the only one of its cluster", async () => {
    await newCluster("v1", "b1");
    await cloud.removeServer("c1v1");
    await provisioner.turn();
    expect((await rows()).get("c1v1")?.fence).toBeNull();
  });

  test("does not count another cluster's cache as one that serves, nor a box as a cache", async () => {
    await newCluster("v1", "b1", "b2");
    await newCluster("v1", "b1");
    for (const gone of ["c1v1", "c1b1"]) await cloud.removeServer(gone);
    await provisioner.turn();
    for (const name of ["c1v1", "c1b1", "c2v1"]) expect((await rows()).get(name)?.fence, name).toBeNull();
  });
});

describe("a leaving box", () => {
  test("stays until every cache of its cluster has confirmed that it sends no visitors there", async () => {
    await newCluster("v1", "v2", "b1", "b2");
    const [first, second] = [await planFor("c1v1", "a"), await planFor("c1v2", "a")];
    reports("c1v1", first);
    reports("c1v2", second - 1);
    await setServerState(store, ["c1b1"], "leaving");
    await provisioner.turn();
    expect((await rows()).get("c1b1")?.state).toBe("leaving");
    expect(await running()).toContain("c1b1");
    reports("c1v2", second);
    await provisioner.turn();
    expect((await rows()).get("c1b1")?.state).toBe("deleting");
    expect(rowsChanged).toBeGreaterThan(0);
    expect(steps).toEqual([]);
    await provisioner.turn();
    expect((await rows()).has("c1b1")).toBe(false);
    expect(await running()).not.toContain("c1b1");
    expect(await running()).toContain("c1b2");
  });

  test("stays while nothing is planned for a cache of its cluster", async () => {
    await newCluster("v1", "b1", "b2");
    await setServerState(store, ["c1b1"], "leaving");
    reports("c1v1", 5);
    await provisioner.turn();
    expect((await rows()).get("c1b1")?.state).toBe("leaving");
  });

  test("waits for caches of its own cluster alone, and for those that stay", async () => {
    await newCluster("v1", "v2", "b1");
    await newCluster("v1", "b1");
    reports("c1v1", await planFor("c1v1", "a"));
    await planFor("c1v2", "a");
    await planFor("c2v1", "a");
    await setServerState(store, ["c1v2"], "leaving");
    await setServerState(store, ["c1b1"], "leaving");
    await provisioner.turn();
    expect((await rows()).get("c1b1")?.state).toBe("deleting");
    expect((await rows()).get("c2b1")?.state).toBe("present");
  });

  test("is not made again when it is gone from the cloud", async () => {
    await newCluster("v1", "b1", "b2");
    await planFor("c1v1", "a");
    await cloud.removeServer("c1b1");
    await setServerState(store, ["c1b1"], "leaving");
    await provisioner.turn();
    expect(await running()).not.toContain("c1b1");
  });
});

describe("a deleted server", () => {
  test("loses its keys first, then goes from the cloud, the bus and the rows, which an event says", async () => {
    await add("git1", ["git"]);
    await provisioner.turn();
    await setServerState(store, ["git1"], "deleting");
    const changed = rowsChanged;
    await provisioner.turn();
    expect(steps).toEqual(["revoke git1", "withdraw git1"]);
    expect([await running(), (await rows()).has("git1")]).toEqual([[], false]);
    expect(lines()).toEqual(["git1 has been created", "git1 has been removed"]);
    expect(rowsChanged).toBeGreaterThan(changed);
  });

  test("that the cloud does not remove keeps its row and is tried again, and the others are removed all the same", async () => {
    for (const name of ["edge1", "git1"]) await add(name, [name.slice(0, -1) as Role]);
    await provisioner.turn();
    await setServerState(store, ["edge1", "git1"], "deleting");
    const { removeServer } = cloud;
    cloud.removeServer = async (name) => {
      if (name === "edge1") throw new Fault("cloud.failed", "it is busy");
      return removeServer.call(cloud, name);
    };
    await provisioner.turn();
    expect([await running(), provisioner.troubles()]).toEqual([["edge1"], ["it is busy"]]);
    expect([(await rows()).has("edge1"), (await rows()).has("git1")]).toEqual([true, false]);
    cloud.removeServer = removeServer;
    await provisioner.turn();
    expect([await running(), (await rows()).has("edge1"), provisioner.troubles()]).toEqual([[], false, []]);
  });

  test("takes its cluster's shared files with it when the cluster is deleted and it was the last one", async () => {
    const cluster = await newCluster("b1", "s1");
    expect(await cloud.listVolumes()).toContain("files-c1");
    await markClusterDeleted(store, cluster);
    await provisioner.turn();
    expect(await cloud.listVolumes()).not.toContain("files-c1");
    expect(await store.selectFrom("cluster").select("id").execute()).toEqual([]);
  });
});

describe("what builds keep", () => {
  test("goes with the website and its builder, a minute later at most", async () => {
    const cluster = await insertCluster(store);
    const certificate = { chainPem: "", keyPem: "", expiresAt: new Date() };
    const domain = { name: "www.example.test", kind: "main" as const, certificate };
    const site = await createWebsite(store, { cluster, environment: "production", branch: "main", domain });
    for (const volume of [`build-${site}x`, "build-s77x", "files-c9"]) await cloud.ensureVolume(volume);
    await add("s88x", ["builder"], cluster);
    await provisioner.turn();
    expect((await cloud.listVolumes()).filter((volume) => volume !== "runtime").sort()).toEqual([
      `build-${site}x`,
      "build-s88x",
      "files-c9",
    ]);
    await cloud.ensureVolume("build-s77x");
    await passes(59_000);
    await provisioner.turn();
    expect(await cloud.listVolumes()).toContain("build-s77x");
    await passes(1_000);
    await provisioner.turn();
    expect(await cloud.listVolumes()).not.toContain("build-s77x");
  });
});

describe("a server that is let in again", () => {
  test("gets new keys through the cloud, and its agent starts again", async () => {
    await add("git1", ["git"]);
    await provisioner.turn();
    const before = (await rows()).get("git1")?.enrolment;
    const commands: string[] = [];
    cloud.execute = async (server, argv) => {
      commands.push(`${server}: ${argv.join(" ")}`);
      return { exitCode: 0, stdout: "", stderr: "" };
    };
    await provisioner.readmit(await requireServer(store, "git1"));
    const after = (await rows()).get("git1")?.enrolment;
    expect(after?.credentials.jwt).not.toBe(before?.credentials.jwt);
    expect(await enrolmentOn("git1")).toEqual(after);
    expect(commands).toEqual(["git1: systemctl restart boxyard-agent"]);
  });

  test("whose agent does not start is a fault with what it said", async () => {
    await add("git1", ["git"]);
    await provisioner.turn();
    cloud.execute = async () => ({ exitCode: 1, stdout: "", stderr: "no such unit\n" });
    await expect(provisioner.readmit(await requireServer(store, "git1"))).rejects.toMatchObject({
      code: "server.agent-not-restarted",
      message: expect.stringContaining("no such unit"),
    });
  });

  test("and is made again keeps the keys that count, or were taken back, and hears of today's brokers", async () => {
    await add("git1", ["git"]);
    await provisioner.turn();
    const { enrolment } = await requireServer(store, "git1");
    const known = { ...(enrolment as Enrolment), brokers: ["tls://10.99.0.77:4222"] };
    for (const keys of [[], [publicKeyOf(known.credentials.jwt)]]) {
      currentKeys.set("git1", keys);
      await setEnrolment(store, "git1", known);
      await cloud.removeServer("git1");
      await provisioner.turn();
      expect(await enrolmentOn("git1")).toEqual({ ...known, brokers: ["tls://10.99.0.2:4222"] });
    }
  });

  test("and is made again after it has changed its key gets a new one", async () => {
    await add("git1", ["git"]);
    await provisioner.turn();
    const before = await enrolmentOn("git1");
    currentKeys.set("git1", ["another key"]);
    await cloud.removeServer("git1");
    await provisioner.turn();
    expect((await enrolmentOn("git1")).credentials.jwt).not.toBe(before.credentials.jwt);
  });
});
