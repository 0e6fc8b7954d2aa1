import { mkdir, mkdtemp, readdir, rm, symlink, utimes, writeFile } from "node:fs/promises";
import { hostname, tmpdir } from "node:os";
import { basename, join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { testWebsite } from "#agent/website/releases/test-site.ts";
import { noLeftSeeds } from "#agent/website/resources.ts";
import { withSeed } from "./seeds.ts";

const MINE = `.seed-${hostname()}-0123456789ab`;
const YESTERDAY = new Date(Date.now() - 25 * 3_600_000);

let scratch: string;
let files: string;

beforeEach(async () => {
  scratch = await mkdtemp(join(tmpdir(), "boxyard-seeds-"));
  files = join(scratch, "files", "s1");
  await mkdir(files, { recursive: true });
});

afterEach(async () => {
  await rm(scratch, { recursive: true, force: true });
});

function resource() {
  return noLeftSeeds(testWebsite(), files);
}

async function begin(name: string, at = new Date()): Promise<void> {
  await mkdir(join(files, name, "folder"), { recursive: true, mode: 0o700 });
  await utimes(join(files, name), at, at);
}

const signal = new AbortController().signal;

test("what a killed agent had begun to fill is removed by the next one of its server, and nothing outside it", async () => {
  await begin(MINE);
  await mkdir(join(scratch, "kept"));
  await writeFile(join(scratch, "kept", "a"), "");
  await symlink(join(scratch, "kept"), join(files, MINE, "folder", "link"));
  await mkdir(join(files, "docroot"));
  expect(await resource().mismatch(signal)).toContain(MINE);
  await resource().apply(signal);
  expect(await resource().mismatch(signal)).toBeNull();
  expect(await readdir(files)).toEqual(["docroot"]);
  expect(await readdir(join(scratch, "kept"))).toEqual(["a"]);
});

test("what another server may be filling stays for a day", async () => {
  for (const name of [".seed-c1b9-0123456789ab", ".seed-0123456789ab"]) await begin(name);
  for (const name of [".seed-c1b9-ba9876543210", ".seed-ba9876543210"]) await begin(name, YESTERDAY);
  await resource().apply(signal);
  expect((await readdir(files)).sort()).toEqual([".seed-0123456789ab", ".seed-c1b9-0123456789ab"]);
});

test("what this agent is filling itself stays, and goes when it is done", async () => {
  await withSeed(files, async (seed) => {
    expect(await readdir(files)).toEqual([basename(seed)]);
    expect(await resource().mismatch(signal)).toBeNull();
    await resource().apply(signal);
    expect(await readdir(files)).toEqual([basename(seed)]);
  });
  expect(await readdir(files)).toEqual([]);
});
