import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";
import { Lanes } from "./lanes.ts";

test("each lane is used by one at a time, all are used, and one whose work failed is free again", async () => {
  const lanes = new Lanes(["a", "b"]);
  const busy = new Set<string>();
  const used: string[] = [];
  const work = (fails: boolean) => async (lane: string) => {
    expect(busy.has(lane)).toBe(false);
    busy.add(lane);
    used.push(lane);
    await sleep(1);
    busy.delete(lane);
    if (fails) throw new Error("failed");
  };
  const done = await Promise.allSettled([true, true, false, false, false].map((fails) => lanes.on(work(fails))));
  expect(done.map(({ status }) => status)).toEqual(["rejected", "rejected", "fulfilled", "fulfilled", "fulfilled"]);
  expect(used).toHaveLength(5);
  expect(new Set(used)).toEqual(new Set(["a", "b"]));
});
