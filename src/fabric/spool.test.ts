import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { Fault } from "#base/fault.ts";
import { until } from "#base/retry.ts";
import { NEVER, Spool } from "./spool.ts";

let folder: string;
let path: string;
let isUp: boolean;
let delivered: { item: number; id: string }[];
let opened: Spool<number>[];

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "boxyard-spool-"));
  path = join(folder, "events");
  [isUp, delivered, opened] = [true, [], []];
});
afterEach(async () => {
  for (const one of opened) one.stop();
  await rm(folder, { recursive: true, force: true });
});

const TOO_LARGE = 1_000;

/** Items are numbers; what is lost is told of as minus so many. */
function open({ limit, retryMs }: { limit?: number; retryMs?: number } = {}): Spool<number> {
  for (const one of opened) one.stop();
  const spool = new Spool<number>({
    path,
    ...(limit === undefined ? {} : { limit }),
    ...(retryMs === undefined ? {} : { retryMs }),
    deliver: async (item, id) => {
      if (!isUp) throw new Error("no broker");
      if (item === TOO_LARGE) throw new Fault(NEVER, "too large");
      delivered.push({ item, id });
    },
    lost: (count) => -count,
  });
  opened.push(spool);
  return spool;
}

const items = (): number[] => delivered.map(({ item }) => item);

describe("a spool", () => {
  test("delivers at once what can be delivered, and keeps the rest in its order through restarts", async () => {
    const first = open();
    await first.add(1);
    isUp = false;
    await Promise.all([first.add(2), first.add(3)]);
    const second = open();
    await second.add(4);
    expect(items()).toEqual([1]);
    isUp = true;
    const third = open();
    await third.add(5);
    expect(items()).toEqual([1, 2, 3, 4, 5]);
    expect(new Set(delivered.map(({ id }) => id)).size).toBe(5);
    await open().flush();
    expect(items()).toEqual([1, 2, 3, 4, 5]);
  });

  test("is bounded: the oldest go, and what comes in their place says how many, also through restarts", async () => {
    isUp = false;
    const spool = open({ limit: 4 });
    for (let item = 1; item <= 7; item++) await spool.add(item);
    const next = open({ limit: 4 });
    for (let item = 8; item <= 10; item++) await next.add(item);
    isUp = true;
    await next.flush();
    expect(items()).toEqual([-7, 8, 9, 10]);
  });

  test("gives up what can never be delivered, says so in its place, and goes on with what waits behind it", async () => {
    isUp = false;
    const spool = open();
    for (const item of [12, TOO_LARGE, 14]) await spool.add(item);
    isUp = true;
    await spool.flush();
    await open().flush();
    expect(items()).toEqual([12, -1, 14]);
  });

  test("tries again by itself, and lets nobody wait for the next failure meanwhile", async () => {
    isUp = false;
    const spool = open({ retryMs: 30 });
    await spool.add(1);
    await spool.add(2);
    isUp = true;
    await until("both to arrive", async () => items().length === 2 || null, { timeoutMs: 5_000 });
    expect(items()).toEqual([1, 2]);
  });

  test("goes on with what it can read of a file that was cut short", async () => {
    await writeFile(path, '{"id":"a-1","item":1}\n{"id":"a-2","it');
    await open().flush();
    expect(delivered).toEqual([{ item: 1, id: "a-1" }]);
  });

  test("whatever the broker and the process do: everything arrives, in order, none without its own id", async () => {
    const step = fc.oneof(
      fc.constant("add" as const),
      fc.constant("up" as const),
      fc.constant("down" as const),
      fc.constant("restart" as const),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 25 }), async (steps) => {
        await rm(path, { force: true });
        [isUp, delivered] = [true, []];
        let spool = open();
        let added = 0;
        for (const one of steps) {
          if (one === "add") await spool.add(++added);
          else if (one === "restart") spool = open();
          else isUp = one === "up";
        }
        isUp = true;
        await spool.flush();
        expect(items()).toEqual(Array.from({ length: added }, (_, index) => index + 1));
      }),
      { numRuns: 60 },
    );
  });
});
