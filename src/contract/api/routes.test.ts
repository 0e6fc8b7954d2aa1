import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import type { Route } from "./route.ts";
import { api } from "./routes.ts";

/** What all files of this folder declare. */
async function declaredRoutes(): Promise<[name: string, route: Route][]> {
  const files = (await readdir(import.meta.dirname)).filter((file) => !file.endsWith(".test.ts") && file !== "routes.ts");
  const nouns = await Promise.all(files.map((file) => import(join(import.meta.dirname, file)) as Promise<Record<string, unknown>>));
  return nouns
    .flatMap((noun) => Object.entries(noun).filter(([name]) => name.endsWith("Routes")))
    .flatMap(([, routes]) => Object.entries(routes as Record<string, Route>));
}

describe("the API", () => {
  test("has every route that a noun declares, and no two of the same name", async () => {
    const declared = await declaredRoutes();
    expect(declared.map(([name]) => name).sort()).toEqual(Object.keys(api).sort());
  });

  test("has no two routes of the same method and path", () => {
    const ways = Object.values(api).map(({ method, path }) => `${method} ${path}`);
    expect(ways).toEqual([...new Set(ways)]);
  });
});
