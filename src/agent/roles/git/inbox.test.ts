import { getEventListeners } from "node:events";
import { beforeEach, describe, expect, test } from "vitest";
import { SEED } from "#harness/seed.ts";
import { VirtualClock } from "#harness/virtual-clock.ts";
import { Inbox } from "./inbox.ts";

let clock: VirtualClock;
let inbox: Inbox<string>;
let reader: AbortController;

beforeEach(() => {
  clock = new VirtualClock(SEED);
  inbox = new Inbox(clock);
  reader = new AbortController();
});

/** What is read next, and how late it is then. */
async function next(timeoutMs: number): Promise<{ readonly value: string | null; readonly atMs: number }> {
  const value = await inbox.next(timeoutMs, reader.signal);
  return { value, atMs: clock.elapsedMs() };
}

describe("a reader", () => {
  test("is given what waits at once, the oldest first, also without time and after an abort", async () => {
    for (const value of ["one", "two", "three"]) inbox.push(value);
    await clock.during(async () => {
      expect(await next(1_000)).toEqual({ value: "one", atMs: 0 });
      expect(await next(0)).toEqual({ value: "two", atMs: 0 });
      reader.abort();
      expect(await next(1_000)).toEqual({ value: "three", atMs: 0 });
      expect(await next(1_000)).toEqual({ value: null, atMs: 0 });
    });
  });

  test("is woken by what comes in time", async () => {
    clock.after(400, () => inbox.push("one"));
    await clock.during(async () => expect(await next(1_000)).toEqual({ value: "one", atMs: 400 }));
  });

  test("is given nothing when its time is over, and finds later what came too late", async () => {
    clock.after(1_500, () => inbox.push("late"));
    await clock.during(async () => {
      expect(await next(1_000)).toEqual({ value: null, atMs: 1_000 });
      await clock.sleep(1_000);
      expect(await next(1_000)).toEqual({ value: "late", atMs: 2_000 });
    });
  });

  test("without time left does not wait", async () => {
    await clock.during(async () => expect(await next(-5_000)).toEqual({ value: null, atMs: 0 }));
  });

  test("is given nothing as soon as its signal aborts", async () => {
    clock.after(300, () => reader.abort());
    await clock.during(async () => expect(await next(1_000)).toEqual({ value: null, atMs: 300 }));
  });

  test("is not disturbed by how its earlier waits would have ended", async () => {
    clock.after(10, () => inbox.push("one"));
    clock.after(500, () => inbox.push("two"));
    await clock.during(async () => {
      expect(await next(100)).toEqual({ value: "one", atMs: 10 });
      expect(await next(1_000)).toEqual({ value: "two", atMs: 500 });
    });
    expect(getEventListeners(reader.signal, "abort")).toEqual([]);
  });
});
