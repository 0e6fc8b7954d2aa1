import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { keepOutput } from "./hook-log.ts";

let directory: string;
let path: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "boxyard-hook-"));
  path = join(directory, "s1", "12-update.log");
});
afterEach(() => rm(directory, { recursive: true }));

test("what a hook says is kept once, however often it is asked for", async () => {
  await keepOutput(path, { after: null, lines: ["one", "two"], cursor: "a" });
  await keepOutput(path, { after: null, lines: ["one", "two"], cursor: "a" });
  await keepOutput(path, { after: "a", lines: [], cursor: "a" });
  await keepOutput(path, { after: "a", lines: ["three"], cursor: "b" });
  await keepOutput(path, { after: "a", lines: ["three"], cursor: "b" });
  expect(await readFile(path, "utf8")).toBe("one\ntwo\nthree\n");
});

test("a hook that says very much keeps its last megabytes, and no more", async () => {
  const lines = Array.from({ length: 500 }, () => "x".repeat(999));
  for (let nth = 0; nth < 20; nth++) await keepOutput(path, { after: nth === 0 ? null : `${nth}`, lines, cursor: `${nth + 1}` });
  await keepOutput(path, { after: "20", lines: ["the end"], cursor: "21" });
  const [earlier, last] = await Promise.all([readFile(`${path}.earlier`, "utf8"), readFile(path, "utf8")]);
  expect(`${earlier}${last}`.endsWith("x\nthe end\n")).toBe(true);
  expect(earlier.length + last.length).toBeGreaterThan(2_000_000);
  expect(earlier.length + last.length).toBeLessThan(6_000_000);
});
