import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { Spool } from "./spool.ts";

let folder: string;
let path: string;
let isUp: boolean;
let delivered: { item: number; id: string }[];

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "boxyard-spool-"));
  path = join(folder, "events");
  [isUp, delivered] = [true, []];
});
afterEach(() => rm(folder, { recursive: true, force: true }));

function open(limit?: number): Spool<number> {
  return new Spool<number>({
    path,
    ...(limit === undefined ? {} : { limit }),
    deliver: async (item, id) => {
      if (!isUp) throw new Error("no broker");
      delivered.push({ item, id });
    },
  });
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

  test("is bounded: the oldest go, and it knows how many", async () => {
    isUp = false;
    const spool = open(3);
    for (let item = 1; item <= 10; item++) await spool.add(item);
    expect(spool.dropped).toBe(7);
    isUp = true;
    await spool.flush();
    expect(items()).toEqual([8, 9, 10]);
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
