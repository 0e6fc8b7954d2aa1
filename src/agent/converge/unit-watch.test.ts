import { mkdtemp, rename, rm, symlink, unlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { systemClock } from "#base/clock.ts";
import { until } from "#base/retry.ts";
import { SEED } from "#harness/seed.ts";
import { VirtualClock } from "#harness/virtual-clock.ts";
import { UnitWatch } from "./unit-watch.ts";

/** Links as systemd makes them, in a folder of the test. */
let folder: string;
let watching: UnitWatch;
let ended: number;
let restarted: string[];

const link = (unit: string): string => join(folder, `invocation:${unit}`);
let run = 0;
/** As systemd does it: under another name first. */
async function starts(unit: string): Promise<void> {
  await symlink(`run-${++run}`, `${link(unit)}~`);
  await rename(`${link(unit)}~`, link(unit));
}
const ends = (unit: string): Promise<void> => unlink(link(unit));
const quiet = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 600));
const turn = async (needed: readonly string[], work: () => Promise<void> = async () => undefined) =>
  (await watching.turn(needed, work)).started;
const WAIT = { timeoutMs: 10_000 };

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "boxyard-units-"));
  ended = 0;
  restarted = [];
  watching = new UnitWatch({ directory: folder, onEnded: () => void ended++, onRestarted: (units) => void restarted.push(...units) });
  watching.start();
  await starts("a.service");
  await starts("b.service");
  expect(await turn(["a.service", "b.service", "c.timer"])).toEqual([]);
});
afterEach(async () => {
  watching.stop();
  await rm(folder, { recursive: true, force: true });
});

test("a unit that ends is noticed once, and the next turn knows which it was", async () => {
  await ends("a.service");
  await until("it to be noticed", async () => (ended > 0 ? true : null), WAIT);
  expect(await turn(["a.service", "b.service"], () => starts("a.service"))).toEqual(["a.service"]);
  await quiet();
  expect([ended, restarted]).toEqual([1, []]);
  expect(await turn(["a.service", "b.service"])).toEqual([]);
});

test("a unit that is restarted without a turn is reported as that, and asks for no turn", async () => {
  await ends("b.service");
  await starts("b.service");
  await until("it to be noticed", async () => (restarted.length > 0 ? true : null), WAIT);
  await quiet();
  expect([ended, restarted]).toEqual([0, ["b.service"]]);
});

test("one that systemd starts again after a pause had ended and then restarted", async () => {
  await ends("a.service");
  await until("its end", async () => (ended > 0 ? true : null), WAIT);
  await turn(["a.service"]);
  await starts("a.service");
  await until("its start", async () => (restarted.length > 0 ? true : null), WAIT);
  expect(restarted).toEqual(["a.service"]);
});

test("a unit that ends again and again is reported each ten seconds at most", async () => {
  const clock = new VirtualClock(SEED);
  watching.stop();
  watching = new UnitWatch({
    directory: folder,
    onEnded: () => void ended++,
    onRestarted: (units) => void restarted.push(...units),
    clock: { ...systemClock, elapsedMs: () => clock.elapsedMs() },
  });
  watching.start();
  await turn(["a.service"]);
  const dies = async (): Promise<void> => {
    await ends("a.service");
    await starts("a.service");
    await quiet();
  };
  for (let time = 0; time < 3; time++) await dies();
  expect(restarted).toEqual(["a.service"]);
  await clock.during(() => clock.sleep(10_000));
  await dies();
  expect(restarted).toEqual(["a.service", "a.service"]);
});

test("what a turn itself stops and starts is not reported", async () => {
  await turn(["a.service", "b.service"], async () => {
    await ends("a.service");
    await starts("a.service");
    await quiet();
  });
  await quiet();
  expect([ended, restarted]).toEqual([0, []]);
});

test("a unit that ends during a turn asks for one more", async () => {
  expect(await turn(["a.service", "b.service"], () => ends("b.service"))).toEqual([]);
  expect(ended).toBe(1);
  expect(await turn(["a.service", "b.service"], () => starts("b.service"))).toEqual(["b.service"]);
});

test("units that no role needs come and go unnoticed", async () => {
  await turn(["a.service"]);
  await ends("b.service");
  await starts("d.service");
  await quiet();
  expect([ended, restarted]).toEqual([0, []]);
});

test("a machine without systemd's links is not watched, and its turns are as always", async () => {
  const none = new UnitWatch({ directory: join(folder, "none"), onEnded: () => void ended++, onRestarted: () => undefined });
  none.start();
  expect(await none.turn(["a.service"], async () => "done")).toEqual({ outcome: "done", started: [] });
  none.stop();
});
