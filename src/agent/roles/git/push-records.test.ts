import type { FileHandle } from "node:fs/promises";
import { mkdtemp, readdir, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { pushWith } from "#harness/push.ts";
import { type PushRecord, PushRecords } from "./push-records.ts";

/** One moment, in which all ids are made. */
vi.mock("#base/clock.ts", async (original) => ({
  ...(await original<typeof import("#base/clock.ts")>()),
  nowMicros: () => 1_795_420_800_000_000,
}));
/** What is to be written through to the disk; that takes long, and is not done here. */
const synced = vi.hoisted(() => [] as string[]);
vi.mock("node:fs/promises", async (original) => {
  const real = await original<typeof import("node:fs/promises")>();
  const open = async (...args: Parameters<typeof real.open>): Promise<FileHandle> => {
    const file = await real.open(...args);
    file.sync = async () => void synced.push(String(args[0]));
    return file;
  };
  return { ...real, open };
});

let directory: string;
let records: PushRecords;

beforeEach(async () => {
  synced.length = 0;
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

test("a branch goes back to what it was, whatever became of earlier pushes of other commits", async () => {
  await records.write(record(1, true));
  await records.write(record(2, false));
  expect(records.restorePoint(record(3, null, 7))).toBe(commitOf(7));
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

test("records lie in a directory of the agent's own, which need not be there, and are the agent's alone", async () => {
  const own = join(directory, "state/pushes");
  const others = new PushRecords(own);
  expect(await others.load()).toEqual([]);
  await others.write(record(1, null));
  expect((await stat(own)).mode & 0o777).toBe(0o700);
  expect((await stat(join(own, "s1-1.json"))).mode & 0o777).toBe(0o600);
});

test("a record is on the disk, with its name, when it is written", async () => {
  await records.write(record(1, null));
  expect(synced).toEqual([expect.stringContaining(join(directory, "s1-1.json")), directory]);
});

test("what is no record's file is left alone, and broken ones are named in their order", async () => {
  for (const name of ["s1-3.json.7.new", "notes.txt", "S1-4.json", "s0-5.json"]) await writeFile(join(directory, name), "{");
  for (const name of ["s9-1.json", "s1-2.json", "s2-1.json", "s10-1.json"]) await writeFile(join(directory, name), "{}");
  expect(await new PushRecords(directory).load()).toEqual(["s1-2.json", "s10-1.json", "s2-1.json", "s9-1.json"]);
  expect(await readdir(directory)).toHaveLength(8);
});

test("the pushes of one website are found, oldest first, by their ids where they came at the same moment", async () => {
  const at = record(5, null).push.acceptedAt;
  const same = (id: string): PushRecord => ({ ...record(5, null), push: { ...record(5, null).push, id, acceptedAt: at } });
  const other = { ...record(3, null), push: { ...record(3, null).push, id: "s2-3", website: "s2" } };
  for (const one of [record(9, true), same("s1-c"), other, same("s1-a"), record(2, null), same("s1-b"), record(7, false)])
    await records.write(one);
  expect(records.of("s1").map(({ push }) => push.id)).toEqual(["s1-2", "s1-a", "s1-b", "s1-c", "s1-7", "s1-9"]);
  expect(records.of("s2")).toEqual([other]);
  expect(records.of("s3")).toEqual([]);
});

test("a push waits for the bus until the bus knows it, or it has ended", async () => {
  await records.write(record(4, null));
  await records.write(record(1, null));
  await records.write({ ...record(2, null), publishedAt: record(2, null).push.acceptedAt });
  await records.write({ ...record(3, true), publishedAt: record(3, true).push.acceptedAt });
  await records.write(record(5, false));
  expect(records.unpublished().map(({ push }) => push.id)).toEqual(["s1-1", "s1-4"]);
});

test("a push that is removed is gone, also for a later process, and may be removed again", async () => {
  await records.write(record(1, null));
  await records.write(record(2, null));
  await records.remove("s1-1");
  await records.remove("s1-1");
  expect(records.find("s1-1")).toBeNull();
  expect(await readdir(directory)).toEqual(["s1-2.json"]);
});

test("ids of one moment differ", async () => {
  const ids = new Set<string>();
  for (let count = 0; count < 3; count++) {
    const id = records.newId("s1");
    expect(id).toMatch(/^s1-[0-9a-z]+$/);
    ids.add(id);
    await records.write({ ...record(1, null), push: { ...record(1, null).push, id } });
  }
  expect(ids.size).toBe(3);
  expect(ids).not.toContain(records.newId("s1"));
});
