import { expect, test } from "vitest";
import { roundsFrom } from "./rounds.ts";

const pairs = (seed: number, times: number) => roundsFrom(seed, times).map(({ way, what }) => `${way}: ${what}`);

test("every trouble meets every way of deploying the same number of times, whatever the seed", () => {
  expect(new Set(pairs(1, 1))).toHaveLength(31);
  expect(pairs(2, 2).toSorted()).toEqual([...pairs(1, 1), ...pairs(1, 1)].toSorted());
});

test("the seed decides when and whom a trouble hits: the same again by the same one, others by another", () => {
  const draws = (seed: number) => roundsFrom(seed, 1).map(({ trouble: _, ...round }) => round);
  expect(draws(300)).toEqual(draws(300));
  expect(draws(300)).not.toEqual(draws(301));
  expect(new Set(draws(300).map(({ afterMs }) => afterMs)).size).toBeGreaterThan(20);
});
