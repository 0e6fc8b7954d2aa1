import { appendFile, mkdtemp, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { readLogFile } from "./log-reader.ts";

let directory: string;
let path: string;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "boxyard-log-"));
  path = join(directory, "access.log");
});

afterEach(() => rm(directory, { recursive: true }));

test("a reader who follows a log that is rotated misses no line and gets none twice", async () => {
  await writeFile(path, "one\ntwo\n");
  const first = await readLogFile({ path, lines: 10, after: null });
  expect(first.lines).toEqual(["one", "two"]);
  await appendFile(path, "three\nfour\n");
  await rename(path, `${path}.1`);
  await writeFile(path, "five\n");
  const second = await readLogFile({ path, lines: 1, after: first.cursor });
  expect(second.lines).toEqual(["three"]);
  const third = await readLogFile({ path, lines: 10, after: second.cursor });
  expect(third.lines).toEqual(["four"]);
  // Requests that began before the rotation are still written to the old file.
  await appendFile(`${path}.1`, "late\n");
  const fourth = await readLogFile({ path, lines: 10, after: third.cursor });
  expect(fourth.lines).toEqual(["late"]);
  const fifth = await readLogFile({ path, lines: 10, after: fourth.cursor });
  expect(fifth.lines).toEqual(["five"]);
  expect((await readLogFile({ path, lines: 10, after: fifth.cursor })).lines).toEqual([]);
});

test("a reader misses no line that is written to the old log while the new one is empty", async () => {
  await writeFile(path, "one\n");
  const first = await readLogFile({ path, lines: 10, after: null });
  await rename(path, `${path}.1`);
  await writeFile(path, "");
  // The web server has not been reloaded yet.
  const second = await readLogFile({ path, lines: 10, after: first.cursor });
  expect(second.lines).toEqual([]);
  await appendFile(`${path}.1`, "two\n");
  const third = await readLogFile({ path, lines: 10, after: second.cursor });
  expect(third.lines).toEqual(["two"]);
  await writeFile(path, "three\n");
  expect((await readLogFile({ path, lines: 10, after: third.cursor })).lines).toEqual(["three"]);
});

test("a log that was rotated twice, or is not there, is read from the beginning of what there is", async () => {
  await writeFile(path, "one\n");
  const first = await readLogFile({ path, lines: 10, after: null });
  await rename(path, `${path}.2`);
  await writeFile(`${path}.1`, "lost\n");
  expect((await readLogFile({ path, lines: 10, after: first.cursor })).lines).toEqual([]);
  await writeFile(path, "three\n");
  expect((await readLogFile({ path, lines: 10, after: first.cursor })).lines).toEqual(["three"]);
});
