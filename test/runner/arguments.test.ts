import { describe, expect, test } from "vitest";
import { GATE, parseArguments } from "./arguments.ts";
import { SLICES } from "./slices.ts";

const turn = { slice: "attacks", seed: 312, reason: "312 commits" } as const;
const parse = (...args: string[]) => parseArguments(args, turn);

describe("bin/test", () => {
  test("is the gate when nothing is named; --all has every slice, too, and --ci the one whose turn it is", () => {
    expect(parse().stages).toEqual(GATE);
    expect(parse("--all").stages).toEqual([...GATE, ...SLICES]);
    expect(parse("--ci")).toEqual({ stages: [...GATE, "attacks"], files: [], seed: 312, turn });
  });

  test("repeats a slice with its seed", () => {
    expect(parse("--slice", "faults", "--seed", "7")).toMatchObject({ stages: ["faults"], seed: 7, turn: null });
  });

  test("takes a stage alone, with files, and slices in the short form", () => {
    expect(parse("unit", "src/agent")).toMatchObject({ stages: ["unit"], files: ["src/agent"] });
    expect(parse("--attacks")).toMatchObject({ stages: ["attacks"], seed: 312 });
  });

  test.each([
    [["nothing"], "no stage “nothing”"],
    [["--slice", "unit"], "no slice “unit”"],
    [["--slice"], "no slice “”"],
    [["--seed"], "--seed takes a whole number"],
    [["faults", "--seed", "x"], "--seed takes a whole number"],
  ])("refuses %s", (args, reason) => {
    expect(() => parse(...args)).toThrow(reason);
  });
});
