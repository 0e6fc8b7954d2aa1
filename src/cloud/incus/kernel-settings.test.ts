import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { ensureKernelSettings } from "./kernel-settings.ts";

let scratch: string;
beforeEach(async () => {
  scratch = await mkdtemp(join(tmpdir(), "boxyard-kernel-"));
});
afterEach(() => rm(scratch, { recursive: true, force: true }));

const PROTECTION = ["fs/protected_symlinks", "fs/protected_hardlinks", "fs/protected_fifos", "fs/protected_regular"];
const LIMITS = [
  ...["fs/aio-max-nr", "fs/inotify/max_queued_events", "fs/inotify/max_user_instances", "fs/inotify/max_user_watches"],
  ...["kernel/keys/maxbytes", "kernel/keys/maxkeys", "vm/max_map_count"],
];

/** A kernel with these values, and others that are high enough. */
async function ensureOn(values: Record<string, number>) {
  const settings = join(scratch, "sys");
  const enough = Object.fromEntries([...PROTECTION.map((name) => [name, 2]), ...LIMITS.map((name) => [name, 9_999_999])]);
  for (const [name, value] of Object.entries({ ...enough, ...values })) {
    await mkdir(dirname(join(settings, name)), { recursive: true });
    await writeFile(join(settings, name), `${value}\n`);
  }
  const atBoot = join(scratch, "60-boxyard.conf");
  await ensureKernelSettings({ settings, atBoot });
  return {
    now: async (name: string) => Number(await readFile(join(settings, name), "utf8")),
    atBoot: await readFile(atBoot, "utf8").catch(() => null),
  };
}

test.each(PROTECTION)("%s is set on the host where it is off, now and at boot", async (name) => {
  const { now, atBoot } = await ensureOn({ [name]: 0 });
  const wanted = name === "fs/protected_regular" ? 2 : 1;
  expect(await now(name)).toBe(wanted);
  expect(atBoot).toMatch(new RegExp(`^${name.replaceAll("/", "\\.")} = ${wanted}$`, "m"));
});

test("what is higher already stays, and then nothing is written for the next boot", async () => {
  const { now, atBoot } = await ensureOn({});
  for (const name of PROTECTION) expect(await now(name)).toBe(2);
  expect(atBoot).toBeNull();
});
