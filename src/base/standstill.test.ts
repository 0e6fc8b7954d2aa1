import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";
import { watchStandstill } from "./standstill.ts";

/** As if the process were frozen: nothing of it gets a turn. */
function standStill(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
}

test("a standstill is told of once: by who asks before the clock ticks, or by the clock", async () => {
  let told = 0;
  const watch = watchStandstill({ longestMs: 1_000, onStandstill: () => told++ });
  watch.check();
  expect(told).toBe(0);
  standStill(1_200);
  watch.check();
  watch.check();
  expect(told).toBe(1);
  standStill(1_200);
  await sleep(300);
  expect(told).toBe(2);
  watch.stop();
});
