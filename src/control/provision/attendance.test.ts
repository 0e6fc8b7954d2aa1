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

function beats(server: ServerName): void {
  const at = timestamp();
  bus.hear({
    ...{ server, at, startedAt: at, count: 1, generation: 1, targetGeneration: 1 },
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
  await look();
  await ensure("db1");
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
  expect(attendance.absenceOf("db1")).toBe("stopped");
  beats("db1");
  await look();
  expect(attendance.absenceOf("db1")).toBeNull();
  expect(lines()).toEqual(["db1 is away: it is off; control starts it", "db1 is back after 7.0 s"]);
});

test("a server that the cloud has no more is missing, one that runs is silent", async () => {
  await bothAreThere();
  await cloud.removeServer("db1");
  await bus.joinAsControl().forget("git1");
  await look();
  expect([attendance.absenceOf("db1"), attendance.absenceOf("git1")]).toEqual(["missing", "silent"]);
});

test("a cloud that is away takes no server with it, and hides none that is silent", async () => {
  await bothAreThere();
  cloud.fail("listServers", new Fault("cloud.unreachable", "the cloud is away"));
  await look();
  expect(attendance.absenceOf("db1")).toBeNull();
  await bus.joinAsControl().forget("db1");
  await look();
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
  expect(attendance.absenceOf("db1")).toBe("silent");
  beats("db1");
  await look();
  expect([attendance.absenceOf("db1"), lines()]).toEqual([null, []]);
});
