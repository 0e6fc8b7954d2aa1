import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { findUnprotected, readFacts } from "./facts.ts";

const NAMES = ["protected_symlinks", "protected_hardlinks", "protected_fifos", "protected_regular"];

/** What a server finds with these values, in the order of the names; null for a kernel without the setting. */
async function findWith(...values: readonly (number | null)[]): Promise<string[]> {
  const settings = await mkdtemp(join(tmpdir(), "boxyard-kernel-"));
  await mkdir(join(settings, "fs"));
  for (const [nth, value] of values.entries()) if (value !== null) await writeFile(join(settings, "fs", NAMES[nth] ?? ""), `${value}\n`);
  return findUnprotected(settings).finally(() => rm(settings, { recursive: true, force: true }));
}

test("a server finds no protection off where each is as high as bin/up sets it, or higher, or not known", async () => {
  expect(await findWith(1, 1, 1, 2)).toEqual([]);
  expect(await findWith(1, 1, 2, 2)).toEqual([]);
  expect(await findWith(1, 1, null, null)).toEqual([]);
});

test("a server finds what its kernel has off, or lower than bin/up sets it", async () => {
  expect(await findWith(0, 1, 0, 2)).toEqual(["fs.protected_symlinks", "fs.protected_fifos"]);
  expect(await findWith(1, 0, 1, 1)).toEqual(["fs.protected_hardlinks", "fs.protected_regular"]);
});

test("a server says what it finds in its own kernel", async () => {
  expect((await readFacts())["kernel.unprotected"]).toBe((await findUnprotected()).join(" "));
});
