import { describe, expect, test } from "vitest";
import { drawInTurn, randomFrom } from "./draw.ts";
import { nearestTests } from "./nearest.ts";
import { listFaults, plant } from "./places.ts";

/** The text with each of its faults, one after the other. */
function planted(text: string): string[] {
  return listFaults("a.ts", text).map((fault) => plant(text, fault));
}

describe("faults", () => {
  test.each([
    ["f(a === b)", "f(a !== b)"],
    ["f(a < b)", "f(a >= b)"],
    ["f(a && b)", "f(a || b)"],
    ["f(a ?? b)", "f(a)"],
    ['f(a ?? "")', 'f("")'],
    ["if (a) b();", "if (!(a)) b();"],
    ["f(a ? b : c)", "f(!(a) ? b : c)"],
    ["f(!a)", "f(a)"],
    ["const size = 5;", "const size = 6;"],
    ["const size = 5 * 1_024;", "const size = 5 * 1;"],
    ["f({ isForced: true })", "f({ isForced: false })"],
    ["function f() { a(); }", "function f() {  }"],
    ["f(a.filter(isOld))", "f(a)"],
    ["f(a.some(isOld))", "f(a.every(isOld))"],
    ["f([a, b])", "f([b])"],
    ["f([a, b])", "f([a, ])"],
    ["const text = `one\ntwo\nthree\n`;", "const text = `one\nthree\n`;"],
  ])("%s can become %s", (right, wrong) => {
    expect(planted(right)).toContain(wrong);
  });

  test.each([
    ['import { a } from "./a.ts";'],
    ["type A = 1 | 2;"],
    ["function f() { this.#log.info({ a: 1 }); }"],
    ['throw new Fault("a.b", a ?? "b");'],
    ["const TIMEOUT_MS = 60;"],
    ["const sweepsMs = [2_000, 10_000];"],
    ["function f() { if (!a) context.log.warn({ a: 1 }); }"],
    ["const text = `one\n# a comment\n`;"],
  ])("%s is left alone", (text) => {
    expect(planted(text)).toEqual([]);
  });
});

test("of a comparison's answer only the sign counts", () => {
  expect(planted("const byName = (a, b) => isBefore(a, b) ? -1 : 1;")).toEqual(["const byName = (a, b) => !(isBefore(a, b)) ? -1 : 1;"]);
});

describe("drawing", () => {
  const lists = [["a1", "a2", "a3"], ["b1"], ["c1", "c2", "c3"]];

  test("depends on the seed alone", () => {
    const draw = (seed: number) => drawInTurn(lists, 5, randomFrom(seed));
    expect(draw(1)).toEqual(draw(1));
    expect(new Set([1, 2, 3, 4, 5].map((seed) => draw(seed).join())).size).toBeGreaterThan(1);
  });

  test("takes as much from each list as there is, and nothing twice", () => {
    expect(drawInTurn(lists, 9, randomFrom(1)).sort()).toEqual(["a1", "a2", "a3", "b1", "c1", "c2", "c3"]);
    const [first] = drawInTurn(lists, 3, randomFrom(2));
    expect(first).toMatch(/^a/);
  });
});

test("the tests beside a file come first, then those that are the fewest imports away", () => {
  const importers = new Map([
    ["src/a/one.ts", new Set(["src/a/two.ts", "src/b/far.test.ts"])],
    ["src/a/two.ts", new Set(["src/a/two.test.ts", "test/harness/yard.ts"])],
    ["test/harness/yard.ts", new Set(["src/c/farther.test.ts"])],
  ]);
  expect(nearestTests("src/a/one.ts", importers)).toEqual(["src/a/two.test.ts", "src/b/far.test.ts", "src/c/farther.test.ts"]);
});

test("of tests that are as many imports away those in the same part come first", () => {
  const users = [
    "src/control/api/api.test.ts",
    "src/control/deploy/model.test.ts",
    "src/agent/a.test.ts",
    "src/control/deploy/build.test.ts",
  ];
  const importers = new Map([["src/control/deploy/steps/hold.ts", new Set(users)]]);
  expect(nearestTests("src/control/deploy/steps/hold.ts", importers)).toEqual([
    "src/control/deploy/build.test.ts",
    "src/control/deploy/model.test.ts",
    "src/control/api/api.test.ts",
    "src/agent/a.test.ts",
  ]);
});

test("a program that nothing imports is what the tests around it start", () => {
  const importers = new Map([
    ["src/a/hooks/line.ts", new Set(["src/a/hooks/program.ts"])],
    ["src/a/one.ts", new Set(["src/a/one.test.ts"])],
    ["src/b/two.ts", new Set(["src/b/two.test.ts"])],
  ]);
  expect(nearestTests("src/a/hooks/program.ts", importers)).toEqual(["src/a/one.test.ts"]);
  expect(nearestTests("src/a/hooks/line.ts", importers)).toEqual(["src/a/one.test.ts"]);
});
