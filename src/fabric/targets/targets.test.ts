import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { isFault } from "#base/fault.ts";
import { Target } from "#contract/target.ts";
import { compares, factsOf, matches, namesOf, questionsOf, type TargetView } from "./match.ts";
import { parseTarget } from "./parse.ts";

const box: TargetView = {
  name: "c1b12",
  labels: new Set(["box", "c1", "s1", "s2"]),
  facts: { "os.release": "13", "memory.total": 8 * 2 ** 30, kernel: "6.12.1-amd64", "disk.ok": true },
  ask: async ({ name, args, field }) => {
    if (name === "service") return field === "active" ? args[0] === "varnish" : "running";
    if (name === "release") return "4f2a".padEnd(40, "0");
    return null;
  },
};

describe("a target", () => {
  test.each([
    ["", true],
    ["all", true],
    ["*", true],
    ["c1b12", true],
    ["c1b1", false],
    ["c1b*", true],
    ["*b*2", true],
    ["c1*b12*", true],
    ["c1b12*2", false],
    ["box", true],
    ["cache", false],
    ["s2", true],
    ["box and c1", true],
    ["BOX", false],
    ["box AND c1", true],
    ["box and not c1", false],
    ["not cache and box", true],
    ["cache or box and c2", false],
    ["(cache or box) and c1", true],
    ["not (cache or c2)", true],
    ["not not box", true],
    ["name=c1b12", true],
    ["os.release=13", true],
    ["os.release = '13'", true],
    ["os.release>=12 and os.release<14", true],
    ["memory.total>4G", true],
    ["memory.total=8192M", true],
    ["memory.total<0.5T", true],
    ["memory.total>8G", false],
    ["kernel~/^6[.]12/", true],
    ["kernel!~'amd64$'", false],
    ["kernel<6.13", true],
    ["disk.ok=true", true],
    ["nothing=1", false],
    ["nothing!=1", false],
    ["service('varnish').active", true],
    ["service(varnish).active", true],
    ["not service('nginx').active", true],
    ["service('nginx').state=running", true],
    ["release('s1')=4f2a", true],
    ["release('s1')=4f2", false],
    ["release(s1)=4f2a000 and box", true],
    ["disk('/srv').free<2G", false],
    ["order", false],
    ["notbox or android", false],
  ])("%s", async (expression, expected) => {
    expect(await matches(parseTarget(expression), box)).toBe(expected);
  });

  test.each([
    { expression: "box adn c1", column: 4 },
    { expression: "box and", column: 7 },
    { expression: "(box or c1", column: 10 },
    { expression: "memory.total>", column: 13 },
    { expression: "box and and c1", column: 8 },
    { expression: "service('varnish.active", column: 8 },
    { expression: "a = 1 = 2", column: 6 },
    { expression: "box; rm -rf", column: 3 },
    { expression: "kernel~^6", column: 7 },
    { expression: "kernel~'('", column: 7 },
    { expression: "kernel~/(?=6)/ and box", column: 7 },
    { expression: "kernel~'(a)\\1'", column: 7 },
    { expression: "kernel~'(.{0,900}){0,9}'", column: 7 },
  ])("that is wrong is refused with a caret under the fault: $expression", ({ expression, column }) => {
    try {
      parseTarget(expression);
      expect.unreachable();
    } catch (thrown) {
      expect(isFault(thrown, "target.invalid")).toBe(true);
      const [, shown, caret = ""] = (thrown as Error).message.split("\n");
      expect(shown?.slice(2)).toBe(expression);
      expect(caret.indexOf("^") - 2).toBe(column);
    }
  });

  test("names its questions and its words", () => {
    const target = parseTarget("not (c1 or box) and disk('/srv').free<2G or service(php).active");
    expect(namesOf(target)).toEqual(["c1", "box"]);
    expect(factsOf(parseTarget("not (a.b=1 or c~x) and box"))).toEqual(["a.b", "c"]);
    expect(questionsOf(target).map(({ name, args, field }) => [name, args, field])).toEqual([
      ["disk", ["/srv"], "free"],
      ["service", ["php"], "active"],
    ]);
  });

  test("with a live question cannot be decided from facts alone, and says so", async () => {
    const { ask: _, ...known } = box;
    await expect(matches(parseTarget("service(x).active"), known)).rejects.toMatchObject({ code: "target.needs-broadcast" });
  });
});

const words = fc.constantFrom("box", "c1", "c1b12", "s2", "cache", "c2", "x");
const targets = fc.letrec<{ target: string }>((tie) => ({
  target: fc.oneof(
    { depthSize: "small" },
    words,
    fc.constantFrom("os.release=13", "memory.total>9G"),
    fc.tuple(tie("target"), tie("target")).map(([a, b]) => `(${a}) and (${b})`),
    fc.tuple(tie("target"), tie("target")).map(([a, b]) => `(${a}) or (${b})`),
    tie("target").map((a) => `not (${a})`),
  ),
})).target;

describe("the language", () => {
  test("keeps the laws of logic, and what is parsed survives the wire", async () => {
    await fc.assert(
      fc.asyncProperty(targets, targets, async (a, b) => {
        const holds = (expression: string): Promise<boolean> =>
          matches(Target.parse(JSON.parse(JSON.stringify(parseTarget(expression)))), box);
        const [isA, isB] = [await holds(a), await holds(b)];
        expect(await holds(`(${a}) and (${b})`)).toBe(isA && isB);
        expect(await holds(`(${a}) or (${b})`)).toBe(isA || isB);
        expect(await holds(`not (${a})`)).toBe(!isA);
        expect(await holds(`not ((${a}) and (${b}))`)).toBe(await holds(`not (${a}) or not (${b})`));
      }),
    );
  });

  test("answers any text with a target or with a fault, never with a crash", () => {
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom(..."ab1(). '\"/=<>~!*andortno".split("")) }), (text) => {
        try {
          parseTarget(text);
        } catch (thrown) {
          if (!isFault(thrown, "target.invalid")) throw thrown;
        }
      }),
    );
  });

  test.each(["(a+)+$", "^(a|a)*$", "(a|ab|b|aab)+c$", "^(([a-z])+.)+[A-Z]([a-z])+$"])(
    "makes nobody wait for a pattern, be it %s",
    async (pattern) => {
      const means = (expression: string, length: number): Promise<boolean> =>
        matches(parseTarget(expression), { ...box, facts: { text: `${"a".repeat(length)}!` } });
      expect(await means(`text~/${pattern}/`, 9_000)).toBe(false);
      expect(await means(`text!~/${pattern}/`, 9_000)).toBe(true);
      // Of a text that is too long nothing is said.
      expect(await means("text~/a/ or text!~/a/", 20_000)).toBe(false);
    },
  );

  test("orders numbers and units as numbers, the rest as people do", () => {
    const numbers = fc.integer({ min: -1000, max: 1_000_000 });
    fc.assert(fc.property(numbers, numbers, (a, b) => compares(a, "<", String(b)) === a < b && compares(a, ">=", String(b)) === a >= b));
    expect(compares("c2", "<", "c10")).toBe(true);
  });
});
