import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { pushWith } from "#harness/push.ts";
import { type PushRecord, PushRecords } from "./push-records.ts";

let directory: string;
let records: PushRecords;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "boxyard-records-"));
  records = new PushRecords(directory);
  await records.load();
});
afterEach(() => rm(directory, { recursive: true, force: true }));

const commitOf = (number: number): string => String(number).padStart(40, "0");

function record(number: number, isLive: boolean | null, previous = number - 1): PushRecord {
  const acceptedAt = `2026-11-23T08:00:00.${String(number).padStart(6, "0")}Z`;
  const push = pushWith({ id: `s1-${number}`, commit: commitOf(number), previous: commitOf(previous), acceptedAt });
  return { push, publishedAt: null, outcome: isLive === null ? null : { isLive, reason: null, at: acceptedAt } };
}

test("of the finished pushes of a website a hundred are kept", async () => {
  for (let number = 1; number <= 105; number++) await records.write(record(number, true));
  expect((await readdir(directory)).length).toBe(100);
  expect(records.of("s1")[0]?.push.id).toBe("s1-6");
});

test("a push that is under way is never dropped", async () => {
  await records.write(record(1, null));
  for (let number = 2; number <= 110; number++) await records.write(record(number, true));
  expect(records.find("s1-1")).not.toBeNull();
});

test("a later process finds what an earlier one wrote, and names what it cannot read", async () => {
  await records.write(record(1, null));
  await records.write(record(2, true));
  await writeFile(join(directory, "s1-3.json"), "{");
  const later = new PushRecords(directory);
  expect(await later.load()).toEqual(["s1-3.json"]);
  expect(later.of("s1")).toEqual(records.of("s1"));
  expect(later.unpublished()).toEqual([record(1, null)]);
});

test("a branch goes back past pushes that did not go live, to the last that did", async () => {
  await records.write(record(1, true));
  await records.write(record(2, false));
  await records.write(record(3, false));
  await records.write(record(4, null));
  expect(records.restorePoint(record(4, null))).toBe(commitOf(1));
});

test("a branch goes back to a push that is still under way", async () => {
  await records.write(record(1, true));
  await records.write(record(2, null));
  expect(records.restorePoint(record(3, null))).toBe(commitOf(2));
});

test("a commit that failed once and went live later is a place to go back to", async () => {
  await records.write(record(1, true));
  await records.write(record(2, false));
  const again = record(3, true);
  await records.write({ ...again, push: { ...again.push, commit: commitOf(2), previous: commitOf(1) } });
  expect(records.restorePoint(record(4, null, 2))).toBe(commitOf(2));
});
