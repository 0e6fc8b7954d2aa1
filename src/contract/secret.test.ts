import { expect, test } from "vitest";
import { z } from "zod";
import { masked, secret } from "./secret.ts";

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
