import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { fieldOf, sumUp } from "./sums.ts";

describe("answers summed up", () => {
  test("count values, the most frequent first, and give least, median and greatest", () => {
    const outputs = [{ version: "2", load: 3 }, { version: "10", load: 1 }, { version: "10", load: 2 }, { load: "broken" }, null];
    expect(sumUp({ version: "distribution", load: "range", nothing: "range" }, outputs)).toEqual({
      version: {
        kind: "distribution",
        counts: [
          { value: "10", count: 2 },
          { value: "2", count: 1 },
        ],
      },
      load: { kind: "range", least: 1, median: 2, greatest: 3 },
    });
  });

  test("find fields whose name has a dot, and fields within fields", () => {
    expect(fieldOf({ "os.release": "13" }, "os.release")).toBe("13");
    expect(fieldOf({ os: { release: "13" } }, "os.release")).toBe("13");
    expect(fieldOf(null, "os.release")).toBeUndefined();
  });

  test("keep every number between least and greatest, and every answer in a count", () => {
    fc.assert(
      fc.property(fc.array(fc.integer(), { minLength: 1 }), (numbers) => {
        const outputs = numbers.map((n) => ({ n, kind: n % 3 }));
        const { n, kind } = sumUp({ n: "range", kind: "distribution" }, outputs);
        if (n?.kind !== "range" || kind?.kind !== "distribution") throw new Error("not summed up");
        expect(numbers.every((number) => number >= n.least && number <= n.greatest)).toBe(true);
        expect(numbers).toContain(n.median);
        expect(kind.counts.reduce((all, { count }) => all + count, 0)).toBe(numbers.length);
        expect(sumUp({ n: "total" }, outputs)["n"]).toEqual({ kind: "total", total: numbers.reduce((a, b) => a + b, 0) });
      }),
    );
  });
});
