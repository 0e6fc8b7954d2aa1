import { expect, test } from "vitest";
import { closingLines, type Ended } from "./closing.ts";

const PASSED: Ended = { stage: "unit", seconds: 10.2, passed: 3, failed: 0, skipped: [], retried: [], files: [] };
const wanted = { stages: [], files: [], seed: 5, turn: null };

test("a run ends with its count, alone on the last line, after what was skipped and what needed a second try", () => {
  const retried = [{ test: "src/a.test.ts > it holds", failures: 1, errors: ["expected 1 to be 2\n\nat src/a.test.ts:7"] }];
  const lines = closingLines([PASSED, { ...PASSED, stage: "yard", failed: 2, skipped: ["b > c"], retried }], wanted, new Map());
  expect(lines).toEqual([
    "── took: unit 10 s, yard 10 s",
    "── skipped: 1",
    "     b > c",
    "── a second try: 1",
    "     src/a.test.ts > it holds (failed 1 ×)\n       expected 1 to be 2\n       at src/a.test.ts:7",
    "── over a minute, and not in a slice with a first line that says so: none",
    "── seed 5",
    "6 passed, 2 failed",
  ]);
});

test("CI's run names its slice again", () => {
  const lines = closingLines([PASSED], { ...wanted, turn: { slice: "faults", seed: 310, reason: "310 commits" } }, new Map());
  expect(lines.at(-2)).toBe("── slice “faults” (310 commits); again: bin/test --slice faults --seed 310");
});

test("a file that takes over a minute is named when it is in the gate, or its first line does not say so", () => {
  const files = ["said", "silent"].map((file) => ({ file, seconds: 61 }));
  const firstLines = new Map([
    ["said", "// Takes two minutes: it waits for a server to boot."],
    ["silent", 'import { test } from "vitest";'],
  ]);
  const named = (stage: string) =>
    closingLines([{ ...PASSED, stage, files }], wanted, firstLines).filter((line) => line.startsWith("     "));
  expect(named("faults")).toEqual(["     silent (61 s)"]);
  expect(named("unit")).toEqual(["     said (61 s)", "     silent (61 s)"]);
});
