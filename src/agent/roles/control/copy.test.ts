import { expect, test } from "vitest";
import { type CopyState, copy } from "./copy.ts";

/** A copy whose state and time a test sets. */
function scripted() {
  const is = { apart: false, led: true, renewed: 0, now: 0 };
  const state: CopyState = {
    isApart: async () => is.apart,
    isLed: async () => is.led,
    renew: async () => void is.renewed++,
  };
  const resource = copy(state, () => is.now);
  const turn = async (now: number): Promise<number> => {
    is.now = now;
    const signal = new AbortController().signal;
    if ((await resource.mismatch(signal)) !== null) await resource.apply(signal);
    return is.renewed;
  };
  return { is, turn };
}

test("a copy that gets nothing from the leader for minutes is made anew, once, and then has its time again", async () => {
  const { is, turn } = scripted();
  is.apart = true;
  expect(await turn(0)).toBe(0);
  expect(await turn(170_000)).toBe(0);
  expect(await turn(180_000)).toBe(1);
  expect(await turn(190_000)).toBe(1);
  expect(await turn(369_000)).toBe(1);
  expect(await turn(370_000)).toBe(2);
});

test("a copy that follows again in between, or that nobody leads, is left alone", async () => {
  const { is, turn } = scripted();
  is.apart = true;
  await turn(0);
  is.apart = false;
  await turn(100_000);
  is.apart = true;
  expect(await turn(200_000)).toBe(0);
  is.led = false;
  expect(await turn(500_000)).toBe(0);
});
