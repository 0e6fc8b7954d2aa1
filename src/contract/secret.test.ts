import { describe, expect, test } from "vitest";
import { z } from "zod";
import { holdsSecret, masked, secret } from "./secret.ts";

test("secrets are masked by their type wherever they stand, and nothing else is", () => {
  const schema = z.object({
    user: z.string(),
    password: secret(z.string()),
    note: z.string(),
    spare: secret(z.string()).optional(),
    list: z.array(z.object({ key: secret(z.string()), name: z.string() })),
    byName: z.record(z.string(), secret(z.string())),
    chosen: secret(z.string()).nullable().default(null),
  });
  const value = { user: "password", password: "p", note: "secret=1", list: [{ key: "k", name: "n" }], byName: { a: "x" }, chosen: "c" };
  expect(masked(schema, value)).toEqual({
    user: "password",
    password: "***",
    note: "secret=1",
    list: [{ key: "***", name: "n" }],
    byName: { a: "***" },
    chosen: "***",
  });
  expect(masked(schema, { ...value, spare: undefined, chosen: null })).toMatchObject({ spare: undefined, chosen: null });
});

const Key = secret(z.string());
const Tree: z.ZodType<unknown> = z.lazy(() => z.object({ key: Key, below: z.array(Tree).optional() }));

describe("a secret is masked", () => {
  test.each([
    { where: "with a rule", schema: secret(z.string()).min(1).max(9), value: "k", expected: "***" },
    { where: "with a description", schema: Key.describe("a key"), value: "k", expected: "***" },
    { where: "in a tuple", schema: z.tuple([z.string(), Key]).rest(Key), value: ["a", "k", "l"], expected: ["a", "***", "***"] },
    { where: "in a union", schema: z.union([z.number(), z.object({ key: Key })]), value: { key: "k" }, expected: { key: "***" } },
    { where: "in another part of a union", schema: z.union([z.number(), z.object({ key: Key })]), value: 3, expected: 3 },
    {
      where: "in one of two options that fit",
      schema: z.union([z.looseObject({ a: z.string() }), z.looseObject({ key: Key })]),
      value: { a: "a", key: "k" },
      expected: { a: "a", key: "***" },
    },
    {
      where: "in a discriminated union",
      schema: z.discriminatedUnion("kind", [
        z.object({ kind: z.literal("a"), key: Key }),
        z.object({ kind: z.literal("b"), key: z.string() }),
      ]),
      value: { kind: "a", key: "k" },
      expected: { kind: "a", key: "***" },
    },
    {
      where: "in an intersection",
      schema: z.intersection(z.object({ a: Key }), z.object({ b: Key })),
      value: { a: "k", b: "k" },
      expected: { a: "***", b: "***" },
    },
    { where: "in what was made of it", schema: Key.transform((text) => text.length), value: 3, expected: "***" },
    {
      where: "after a change",
      schema: z.preprocess((text) => text, z.object({ key: Key })),
      value: { key: "k" },
      expected: { key: "***" },
    },
    { where: "in a circle", schema: Tree, value: { key: "k", below: [{ key: "l" }] }, expected: { key: "***", below: [{ key: "***" }] } },
    {
      where: "in other fields",
      schema: z.object({ a: z.string() }).catchall(Key),
      value: { a: "a", b: "k" },
      expected: { a: "a", b: "***" },
    },
    { where: "in a map", schema: z.map(z.string(), Key), value: new Map([["a", "k"]]), expected: "***" },
    { where: "in a set", schema: z.set(Key), value: new Set(["k"]), expected: "***" },
    { where: "as a name", schema: z.record(Key, z.string()), value: { k: "a" }, expected: "***" },
    { where: "behind wrappers", schema: Key.readonly().catch("").nullish().prefault("k").nonoptional(), value: "k", expected: "***" },
    { where: "in a value of another shape", schema: z.array(Key), value: "k", expected: "***" },
  ])("$where", ({ schema, value, expected }) => {
    expect(holdsSecret(schema)).toBe(true);
    expect(masked(schema, value)).toEqual(expected);
  });

  test("or it is said that a kind of schema is not known", () => {
    const unknown = z.object({ key: z.string() });
    (unknown.shape.key._zod.def as { type: string }).type = "riddle";
    expect(() => masked(unknown, { key: "k" })).toThrow("of kind riddle");
  });
});
