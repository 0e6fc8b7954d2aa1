import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { timestamp } from "#base/clock.ts";
import { Fault } from "#base/fault.ts";
import { silentLog } from "#base/log.ts";
import { type MemoryCloud, memoryCloud } from "#cloud/memory/cloud.ts";
import { eventLine } from "#contract/event-line.ts";
import type { ServerName } from "#contract/names.ts";
import { type MemoryBus, memoryBus } from "#fabric/memory/bus.ts";
import { startPostgres, type TestPostgres } from "#harness/postgres.ts";
import { VirtualClock } from "#harness/virtual-clock.ts";
import type { Store } from "../store/schema.ts";
import { addServer, listServerRows, setServerState } from "../store/servers.ts";
import { storePlan } from "../store/specs.ts";
import { Attendance } from "./attendance.ts";

const SUBNET = "10.99.0.0/24";
let postgres: TestPostgres;
let store: Store;
let cloud: MemoryCloud;
let bus: MemoryBus;
let clock: VirtualClock;
let attendance: Attendance;

beforeAll(async () => {
  postgres = await startPostgres();
});
afterAll(() => postgres.stop());
beforeEach(async () => {
  store = await postgres.emptyStore();
  cloud = memoryCloud();
  bus = memoryBus();
  clock = new VirtualClock(1);
  begin();
  for (const name of ["db1", "git1"]) await addServer(store, SUBNET, { name, roles: ["git"], cluster: null, hostKey: null });
});

/** Another control server begins to lead. */
function begin(): void {
  attendance = new Attendance({ store, fabric: bus.joinAsControl(), cloud, log: silentLog(), clock });
}

const ensure = (name: ServerName) =>
  cloud.ensureServer({ name, template: "t", address: "10.99.0.9", guard: "address", volumes: [], files: [] });

function beats(server: ServerName, generation = 1): void {
  const at = timestamp();
  bus.hear({
    ...{ server, at, startedAt: at, count: 1, generation, targetGeneration: generation },
    ...{ roles: [], faults: [], releases: {}, facts: {} },
  });
}

async function look(): Promise<void> {
  await attendance.compare(await listServerRows(store), await cloud.listServers().catch(() => null));
}

/** Both are there and have been heard of. */
async function bothAreThere(): Promise<void> {
  for (const name of ["db1", "git1"]) {
    await ensure(name);
    beats(name);
  }
  await look();
}

/** The memory bus forgets also that it was ever heard of. */
async function fallsSilent(server: ServerName): Promise<void> {
  await bus.joinAsControl().forget(server);
  await look();
  await clock.during(() => clock.sleep(9_000));
  await look();
}

const lines = (): string[] => bus.events.map(eventLine);
const joined = async () => (await listServerRows(store)).filter(({ joined_at }) => joined_at !== null).map(({ name }) => name);

test("servers that are being created are not missed, and have joined when they are heard of", async () => {
  await look();
  expect([attendance.absenceOf("db1"), await joined()]).toEqual([null, []]);
  await ensure("db1");
  beats("db1");
  await look();
  expect([await joined(), lines()]).toEqual([["db1"], []]);
});

test("one that is created and never heard of is missed after two minutes", async () => {
  await clock.during(() => clock.sleep(600_000));
  await ensure("db1");
  await look();
  await clock.during(() => clock.sleep(119_000));
  await look();
  expect(attendance.absenceOf("db1")).toBeNull();
  await clock.during(() => clock.sleep(2_000));
  await look();
  expect([attendance.absenceOf("db1"), lines()]).toEqual(["silent", []]);
  beats("db1");
  await look();
  expect([attendance.absenceOf("db1"), lines()]).toEqual([null, []]);
});

test("a stopped server went although its last heartbeat still counts, and is back with the next one", async () => {
  await bothAreThere();
  await cloud.stopServer("db1");
  await look();
  await look();
  expect([attendance.absenceOf("db1"), attendance.absenceOf("git1")]).toEqual(["stopped", null]);
  await cloud.startServer("db1");
  await clock.during(() => clock.sleep(7_000));
  await look();
  expect(attendance.absenceOf("db1"), "it has not been heard of").toBe("silent");
  beats("db1");
  await look();
  expect(attendance.absenceOf("db1")).toBeNull();
  expect(lines()).toEqual(["db1 is away: it is off; control starts it", "db1 is back after 7.0 s"]);
});

test("a server that the cloud has no more is missing, one that runs is silent", async () => {
  await bothAreThere();
  await cloud.removeServer("db1");
  await fallsSilent("git1");
  expect([attendance.absenceOf("db1"), attendance.absenceOf("git1")]).toEqual(["missing", "silent"]);
});

test("a cloud that is away takes no server with it, and hides none that is silent", async () => {
  await bothAreThere();
  cloud.fail("listServers", new Fault("cloud.unreachable", "the cloud is away"));
  await look();
  expect(attendance.absenceOf("db1")).toBeNull();
  await fallsSilent("db1");
  expect(attendance.absenceOf("db1")).toBe("silent");
});

test("why a server is away is what is so now", async () => {
  await bothAreThere();
  await cloud.stopServer("db1");
  await look();
  await cloud.startServer("db1");
  await fallsSilent("db1");
  expect(attendance.absenceOf("db1")).toBe("silent");
});

test("a server that leaves for good is not missed", async () => {
  await bothAreThere();
  await cloud.stopServer("db1");
  await look();
  await setServerState(store, ["db1"], "deleting");
  await look();
  expect(attendance.absenceOf("db1")).toBeNull();
});

test("who begins to lead misses who is not there, and reports nobody as gone or back whom it never heard of", async () => {
  await bothAreThere();
  bus = memoryBus();
  begin();
  await look();
  expect(attendance.absenceOf("db1"), "it has had no time to be heard of").toBeNull();
  await clock.during(() => clock.sleep(10_000));
  await look();
  expect(attendance.absenceOf("db1")).toBe("silent");
  beats("db1");
  await look();
  expect([attendance.absenceOf("db1"), lines()]).toEqual([null, []]);
});

test("a server that comes no further with its plan is known by how long it has not", async () => {
  await bothAreThere();
  const plan = { yard: "trial", server: "db1", address: "10.99.0.9", neighbours: [], roles: {}, brokers: [], policy: {} };
  for (const hash of ["one", "two", "three"]) await storePlan(store, plan, hash);
  const after = async (ms: number): Promise<number> => {
    await clock.during(() => clock.sleep(ms));
    await look();
    return attendance.behindMs("db1");
  };
  expect([await after(1_000), await after(5_000)]).toEqual([0, 5_000]);
  beats("db1", 2);
  expect([await after(1_000), await after(5_000), attendance.behindMs("git1")]).toEqual([0, 5_000, 0]);
  beats("db1", 3);
  expect(await after(5_000)).toBe(0);
});
