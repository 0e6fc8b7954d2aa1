import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { silentLog } from "#base/log.ts";
import { testWebsite } from "../../website/releases/test-site.ts";
import { type Health, type HealthOptions, startHealth } from "./health.ts";

const RELEASE = "a".repeat(40);
let directory: string;
let health: Health | undefined;
let options: HealthOptions & { readonly file: string; readonly marker: string };
const box = { isConverged: true, isConfirmed: false, live: RELEASE };

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "boxyard-health-"));
  Object.assign(box, { isConverged: true, isConfirmed: false, live: RELEASE });
  options = {
    isConverged: () => box.isConverged,
    isConfirmed: () => box.isConfirmed,
    websites: () => [testWebsite()],
    releases: { expected: () => RELEASE, live: () => box.live },
    log: silentLog(),
    marker: join(directory, "run", "box-ready"),
    file: join(directory, "run", "box-health"),
  };
});
afterEach(async () => {
  health?.stop();
  await rm(directory, { recursive: true });
});

async function said(): Promise<string> {
  return (await readFile(options.file, "utf8")).trimEnd();
}

/** What it says when it is told to look, and nothing is waited for. */
function saidNow(): Promise<string> {
  health?.look();
  return said();
}

test("a box that has converged to what lies on its disk gets no visitors before the bus says that this is of today", async () => {
  health = startHealth(options);
  expect(await said()).toBe("nobody has said yet that what is here is of today");
  box.isConfirmed = true;
  expect(await saidNow()).toBe("ready");
});

test("when nobody can say, it serves what it has after a while", async () => {
  health = startHealth({ ...options, graceMs: 0 });
  expect(await saidNow()).toBe("ready");
});

test("an agent that starts anew on a box that was ready takes it off no visitor", async () => {
  box.isConfirmed = true;
  health = startHealth(options);
  const { ino } = await stat(options.file);
  health.stop();
  expect(await said(), "while no agent runs").toBe("ready");
  Object.assign(box, { isConfirmed: false, isConverged: false });
  health = startHealth(options);
  expect(await said()).toBe("ready");
  expect((await stat(options.file)).ino, "it is not written again").toBe(ino);
  box.live = "b".repeat(40);
  expect(await saidNow()).toMatch(/^s1 serves b+, not a+$/);
});

test("an agent that starts with another release expected than the one before it takes back at once what that one said", async () => {
  await mkdir(join(directory, "run"));
  await writeFile(options.marker, "");
  await writeFile(options.file, "ready\n");
  Object.assign(box, { isConverged: false, live: "b".repeat(40) });
  health = startHealth(options);
  expect(await said()).toMatch(/^s1 serves b+, not a+$/);
});

test("a box that has booted is not ready again by what it was before", async () => {
  box.isConfirmed = true;
  health = startHealth(options);
  expect(await said()).toBe("ready");
  health.stop();
  await rm(join(directory, "run"), { recursive: true });
  Object.assign(box, { isConfirmed: false, isConverged: false });
  health = startHealth(options);
  expect(await said()).toBe("not converged yet");
});

test("what nobody tells of is seen all the same", async () => {
  box.isConfirmed = true;
  health = startHealth(options);
  box.live = "b".repeat(40);
  await expect.poll(said, { timeout: 10_000 }).toMatch(/^s1 serves b+, not a+$/);
  await rm(options.file);
  await expect.poll(() => existsSync(options.file), { timeout: 10_000 }).toBe(true);
});

test("what cannot be found out, and what cannot be written down, is no reason to go on as before", async () => {
  box.isConfirmed = true;
  health = startHealth(options);
  expect(await said()).toBe("ready");
  health.stop();
  const broken = (): never => {
    throw new Error("the disk\nis broken");
  };
  health = startHealth({ ...options, releases: { expected: () => RELEASE, live: broken } });
  expect(await said()).toBe("cannot tell: the disk is broken");
  health.stop();
  await mkdir(`${options.file}.new`);
  health = startHealth(options);
  expect(existsSync(options.file)).toBe(false);
});

test("nothing is left beside what it says", async () => {
  box.isConfirmed = true;
  health = startHealth(options);
  box.live = "b".repeat(40);
  health.look();
  expect(await readdir(join(directory, "run"))).toEqual(["box-health", "box-ready"]);
  expect((await stat(options.file)).mode & 0o777).toBe(0o644);
});
