import { describe, expect, test } from "vitest";
import { findDoubles, type Write } from "./writers.ts";

const write = (changes: Partial<Write> = {}): Write => ({
  id: "w1",
  kind: "form",
  startedAt: 1_790_000_000_000_000,
  endedAt: 1_790_000_000_020_000,
  fault: null,
  sentHash: "h",
  tookHash: "h",
  ...changes,
});
const failed = write({ fault: "status 503 by a cache: ", tookHash: null });
const once = { id: "w1", hash: "h" };

describe("the checker of POSTs", () => {
  test.each([
    ["was done once and answered", write(), [once]],
    ["failed and was not done", failed, []],
    ["failed after it was done", failed, [once]],
    ["is one of many", write(), [{ id: "w2", hash: "x" }, once]],
    ["is an upload that broke off, and was done with what had come", { ...failed, kind: "upload" as const }, [{ id: "w1", hash: "part" }]],
  ])("allows one that %s", (_what, one, taken) => {
    expect(findDoubles([one], taken)).toEqual([]);
  });

  test.each([
    ["was done twice and answered", write(), [once, once], "was carried out 2 times"],
    ["was done twice, and an error was met", failed, [once, once], "was carried out 2 times"],
    ["was answered, and not done", write(), [], "was answered, and not carried out"],
    ["arrived in part", failed, [{ id: "w1", hash: "part" }], "arrived in part"],
    ["is an upload that arrived in part and was answered", write({ kind: "upload" }), [{ id: "w1", hash: "part" }], "arrived in part"],
    ["got another one's answer", write({ tookHash: "other" }), [once], "has another one's answer"],
    [
      "got a part of its answer as if it were whole",
      write({ fault: "status 200, but the answer is cut", tookHash: null }),
      [once],
      "was cut",
    ],
  ])("finds one that %s", (_what, one, taken, lie) => {
    expect(findDoubles([one], taken)).toEqual([expect.stringContaining(lie)]);
  });
});
