import { mkdtemp, readdir, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { nowMicros, timestampOf } from "#base/clock.ts";
import { HELD, Holds } from "./holds.ts";

let directory: string;
let holds: Holds;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "boxyard-holds-"));
  holds = new Holds(directory);
  await holds.start();
});
afterEach(async () => {
  holds.stop();
  await rm(directory, { recursive: true });
});

const until = (ms: number): string => timestampOf(nowMicros() + ms * 1_000);
const held = (): Promise<string[]> => readdir(join(directory, "domains"));

test.each([1, 5, 33, 60])("the numbers of a domain that is held add up to the %i seconds that each may wait", async (seconds) => {
  await holds.hold("s1", { domains: ["a.example"], seconds, until: until(10_000) });
  const names = await readdir(join(directory, "domains", "a.example"));
  expect(names).toContain(HELD);
  expect(names.filter((name) => name !== HELD).reduce((sum, name) => sum + Number(name), 0)).toBe(seconds);
});

test("a website is let go with all domains that it had meanwhile, and no other", async () => {
  await holds.hold("s1", { domains: ["a.example", "b.example"], seconds: 5, until: until(10_000) });
  await holds.hold("s2", { domains: ["c.example"], seconds: 5, until: until(10_000) });
  await holds.hold("s1", { domains: ["a.example"], seconds: 7, until: until(10_000) });
  await holds.letGo("s1");
  expect(await held()).toEqual(["c.example"]);
  await holds.letGo("s1");
});

test("a domain that another website has taken over is let go with that one", async () => {
  await holds.hold("s1", { domains: ["a.example", "b.example"], seconds: 5, until: until(10_000) });
  await holds.hold("s2", { domains: ["a.example"], seconds: 5, until: until(10_000) });
  await holds.letGo("s1");
  expect(await held()).toEqual(["a.example"]);
  await holds.letGo("s2");
  expect(await held()).toEqual([]);
});

test("an agent that begins anew lets go what is over or cannot be read, and holds the rest", async () => {
  await holds.hold("s1", { domains: ["a.example"], seconds: 5, until: until(10_000) });
  await holds.hold("s2", { domains: ["b.example"], seconds: 5, until: until(10_000) });
  holds.stop();
  await writeFile(join(directory, "s2.json"), "{");
  await symlink("../seconds-5", join(directory, "domains", "c.example"));
  holds = new Holds(directory);
  await holds.start();
  expect(await held()).toEqual(["a.example"]);
});
