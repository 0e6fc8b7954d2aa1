import { setTimeout as realSleep } from "node:timers/promises";
import { sql } from "kysely";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { until } from "#base/retry.ts";
import type { Store } from "#control/store/schema.ts";
import { PacedDatabase } from "./paced-store.ts";
import { startPostgres, type TestPostgres } from "./postgres.ts";
import { VirtualClock } from "./virtual-clock.ts";

/** Who of ten that begin at one moment comes when, as the seed has it. */
async function race(seed: number): Promise<string[]> {
  const clock = new VirtualClock(seed);
  const seen: string[] = [];
  const runner = async (name: number): Promise<void> => {
    for (let lap = 0; lap < 3; lap++) {
      await clock.sleep(5);
      seen.push(`${name} at ${clock.elapsedMs()}`);
    }
  };
  await clock.during(async () => {
    await Promise.all(Array.from({ length: 10 }, (_, name) => runner(name)));
  });
  return seen;
}

describe("virtual time", () => {
  test("passes when nothing else is left to do, for each as long as it waits", async () => {
    const clock = new VirtualClock(1);
    const begun = clock.nowMicros();
    const aYearMs = 365 * 86_400_000;
    await clock.during(async () => {
      const order: string[] = [];
      const sleeping = [["second", aYearMs] as const, ["first", 10] as const].map(async ([name, ms]) => {
        await clock.sleep(ms);
        order.push(name);
      });
      await Promise.all(sleeping);
      expect(order).toEqual(["first", "second"]);
    });
    expect(clock.elapsedMs()).toBe(aYearMs);
    expect(clock.nowMicros() - begun).toBe(aYearMs * 1000);
  });

  test("brings what happens at one moment in an order that the seed gives, always the same", async () => {
    expect(await race(1)).toEqual(await race(1));
    const orders = await Promise.all(Array.from({ length: 20 }, async (_, seed) => (await race(seed)).join()));
    expect(new Set(orders).size).toBeGreaterThan(15);
  });

  test("stands still while work goes on outside, and passes while that waits for somebody who sleeps", async () => {
    const clock = new VirtualClock(1);
    await clock.during(async () => {
      let sawMs = -1;
      const ticking = clock.sleep(1).then(() => {
        sawMs = clock.elapsedMs();
      });
      await clock.outside(() => realSleep(100));
      expect([sawMs, clock.elapsedMs()]).toEqual([-1, 0]);
      await ticking;
      const { promise: freed, resolve: free } = Promise.withResolvers<void>();
      clock.after(1_000, free);
      await clock.outside(() => freed, { isStuck: async () => true });
      expect(clock.elapsedMs()).toBe(1_001);
    });
  });

  test("wakes a sleeper that is cancelled, at once", async () => {
    const clock = new VirtualClock(1);
    await clock.during(async () => {
      const calledOff = new AbortController();
      clock.after(5, () => calledOff.abort());
      await expect(clock.sleep(1_000, calledOff.signal)).rejects.toThrow(/abort/);
      expect(clock.elapsedMs()).toBe(5);
      await expect(clock.sleep(1_000, calledOff.signal)).rejects.toThrow(/abort/);
      await expect(until("what never comes", async () => null, { timeoutMs: 60_000, clock })).rejects.toThrow("waited 60 s");
    });
  });
});

describe("a database in virtual time", () => {
  let postgres: TestPostgres;
  let rows: Store;
  let database: PacedDatabase;

  beforeAll(async () => {
    postgres = await startPostgres();
    rows = await postgres.freshStore();
    database = await PacedDatabase.of(rows);
    await rows.insertInto("cluster").values({ id: "c1" }).execute();
  });
  afterAll(async () => {
    await database.end();
    await postgres.stop();
  });

  /** Four that want the same row, each for some time; who had it when. */
  async function queue(seed: number): Promise<string[]> {
    const clock = new VirtualClock(seed);
    const store = database.storeOn(clock);
    const seen: string[] = [];
    const hold = (name: number): Promise<void> =>
      store.transaction().execute(async (transaction) => {
        await sql`select id from cluster for update`.execute(transaction);
        const from = clock.elapsedMs();
        await clock.sleep(1_000);
        seen.push(`${name} from ${from} to ${clock.elapsedMs()}`);
      });
    await clock.during(async () => {
      await Promise.all([1, 2, 3, 4].map(hold));
    });
    return seen;
  }

  test("lets time pass for whoever sleeps with a row that others wait for, and one after the other has it", async () => {
    const seen = await queue(7);
    expect(seen).toHaveLength(4);
    const spans = seen.map((line) => line.match(/[\d.]+/g)?.map(Number) ?? []);
    for (const [nth, [, from = 0]] of spans.entries()) expect(from).toBeGreaterThanOrEqual(spans[nth - 1]?.[2] ?? 0);
    expect(await queue(7)).toEqual(seen);
  });
});
