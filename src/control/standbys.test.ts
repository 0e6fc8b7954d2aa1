import { expect, test } from "vitest";
import { describeStandbys } from "./standbys.ts";

test("who could not take over is named, with what is left", () => {
  const states = (...away: number[]) =>
    [1, 2, 3].map((nth) => ({
      server: `control${nth}`,
      address: `10.0.0.${nth}`,
      state: nth === 1 ? ("leads" as const) : away.includes(nth) ? ("away" as const) : ("stands by" as const),
    }));
  expect(describeStandbys(states())).toEqual([]);
  expect(describeStandbys(states(3))).toEqual([expect.stringMatching(/^the database of control3 .*neither .*may fail now .* bin\/up\)$/)]);
  expect(describeStandbys(states(2, 3))).toEqual([expect.stringMatching(/^the databases of control2 and control3 .*take over/)]);
});
