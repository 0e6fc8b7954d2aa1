import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { ImageCache } from "./cache.ts";
import { holdMachineLock } from "./machine-lock.ts";
import { recipeHash, serverRecipe } from "./recipe.ts";

const RECIPE = serverRecipe;
const HASH = recipeHash(RECIPE);
const OTHER = "0123456789ab";
const LOCK = new URL("./machine-lock.ts", import.meta.url).href;

let directory: string;
let isBuilding: PromiseWithResolvers<void>;
let mayEnd: PromiseWithResolvers<void>;
let builds: number;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "boxyard-images-"));
  isBuilding = Promise.withResolvers();
  mayEnd = Promise.withResolvers();
  builds = 0;
});

afterEach(async () => {
  await rm(directory, { recursive: true, force: true });
});

function openCache(): ImageCache {
  const build = async (_recipe: unknown, target: string): Promise<void> => {
    builds++;
    isBuilding.resolve();
    await mayEnd.promise;
    await writeFile(join(target, "rootfs.tar.zst"), `build ${builds}`);
  };
  return new ImageCache({ directory, build });
}

/** One bin/up, with the lock file opened by itself, as another process has it. */
function ensureOnce(onWait: () => void = neverCalled): Promise<string> {
  const cache = openCache();
  const work = async (): Promise<string> => readFile((await cache.ensure(RECIPE, () => undefined)).rootfs, "utf8");
  return cache.hold(RECIPE, work, onWait);
}

function neverCalled(): void {
  throw new Error("it waited for another process");
}

async function directories(): Promise<string[]> {
  return (await readdir(directory)).filter((name) => !name.endsWith(".lock")).sort();
}

test("of two at once, one builds the image; the other says that it waits, and uses it", async () => {
  const first = ensureOnce();
  await isBuilding.promise;
  const waits = Promise.withResolvers<void>();
  const second = ensureOnce(waits.resolve);
  await waits.promise;
  mayEnd.resolve();
  expect(await Promise.all([first, second])).toEqual(["build 1", "build 1"]);
  expect(await directories()).toEqual([HASH]);
});

test("the next one builds when the first could not", async () => {
  const first = ensureOnce();
  await isBuilding.promise;
  const waits = Promise.withResolvers<void>();
  const second = ensureOnce(waits.resolve);
  await waits.promise;
  mayEnd.reject(new Error("no mirror"));
  await expect(first).rejects.toThrow("no mirror");
  mayEnd = Promise.withResolvers();
  mayEnd.resolve();
  expect(await second).toBe("build 2");
});

test("a build goes on when one that was killed had begun, and removes what that one has left", async () => {
  await using killed = await beginInAnotherProcess(join(directory, `${HASH}.lock`));
  await mkdir(join(directory, `${HASH}.aB3dEf`, "temporary"), { recursive: true });
  const waits = Promise.withResolvers<void>();
  mayEnd.resolve();
  const next = ensureOnce(waits.resolve);
  await waits.promise;
  killed.child.kill("SIGKILL");
  expect(await next).toBe("build 1");
  expect(await directories()).toEqual([HASH]);
});

test("a new image replaces those of other recipes, but none that another process builds or imports", async () => {
  for (const name of [OTHER, `${OTHER}.aB3dEf`, "by-hand"]) await mkdir(join(directory, name));
  mayEnd.resolve();
  await holdMachineLock(join(directory, `${OTHER}.lock`), () => ensureOnce(), { onWait: neverCalled, limitMs: 1_000 });
  expect(await directories()).toEqual([OTHER, `${OTHER}.aB3dEf`, "by-hand", HASH].sort());
  await rm(join(directory, HASH), { recursive: true });
  await ensureOnce();
  expect(await directories()).toEqual(["by-hand", HASH].sort());
});

test("a lock that is held for too long ends the wait with what helps", async () => {
  const path = join(directory, "held.lock");
  const wait = (): Promise<void> => holdMachineLock(path, async () => undefined, { onWait: () => undefined, limitMs: 10 });
  await expect(holdMachineLock(path, wait, { onWait: neverCalled, limitMs: 10 })).rejects.toMatchObject({ code: "lock.held" });
});

/** A process that holds the lock until it is ended. */
async function beginInAnotherProcess(path: string) {
  const work = "() => { console.log('held'); return new Promise(() => setInterval(() => undefined, 1000)); }";
  const code = `const { holdMachineLock } = await import("${LOCK}"); await holdMachineLock("${path}", ${work}, { onWait() {}, limitMs: 1000 });`;
  const child = spawn(process.execPath, ["--input-type=module", "-e", code], { stdio: ["ignore", "pipe", "inherit"] });
  await once(child.stdout, "data");
  return { child, [Symbol.asyncDispose]: async () => void child.kill("SIGKILL") };
}
