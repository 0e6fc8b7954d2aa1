import { readFile } from "node:fs/promises";
import { expect, test } from "vitest";
import { readFacts } from "./facts.ts";

const NAMES = ["symlinks", "hardlinks", "fifos", "regular"].map((what) => `fs.protected_${what}`);

test("a server says which protections of links its kernel has off", async () => {
  const off: string[] = [];
  for (const name of NAMES) if ((await readFile(`/proc/sys/${name.replace(".", "/")}`, "utf8")).trim() === "0") off.push(name);
  expect((await readFacts())["kernel.unprotected"]).toBe(off.join(" "));
});
