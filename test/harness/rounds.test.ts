import { expect, test } from "vitest";
import { roundsFrom } from "./rounds.ts";

const ALL = { share: 1, times: 1 };
const pairs = (seed: number, amount = ALL) => roundsFrom(seed, amount).map(({ way, what }) => `${way}: ${what}`);

test("every trouble meets every way of deploying the same number of times, whatever the seed", () => {
  expect(new Set(pairs(1))).toHaveLength(31);
  expect(pairs(2, { share: 1, times: 2 }).toSorted()).toEqual([...pairs(1), ...pairs(1)].toSorted());
});

test("a third has each trouble that any way meets once, and all ways; three seeds in a row have all pairs", () => {
  const third = { share: 3, times: 1 };
  for (const seed of [1, 2, 3]) {
    const rounds = roundsFrom(seed, third).filter(({ what }) => what !== "the builder loses its power");
    expect(new Set(rounds.map(({ what }) => what))).toHaveLength(10);
    expect(rounds).toHaveLength(10);
    expect(new Set(rounds.map(({ way }) => way))).toHaveLength(3);
  }
  expect([1, 2, 3].flatMap((seed) => pairs(seed, third)).toSorted()).toEqual(pairs(1).toSorted());
});

test("the seed decides when and whom a trouble hits: the same again by the same one, others by another", () => {
  const draws = (seed: number) => roundsFrom(seed, ALL).map(({ trouble: _, ...round }) => round);
  expect(draws(300)).toEqual(draws(300));
  expect(draws(300)).not.toEqual(draws(301));
  expect(new Set(draws(300).map(({ afterMs }) => afterMs)).size).toBeGreaterThan(20);
});
