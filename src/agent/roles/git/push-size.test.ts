import { createHash, randomBytes } from "node:crypto";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { deflateSync } from "node:zlib";
import { execa } from "execa";
import { afterAll, beforeAll, expect, test } from "vitest";
import { TrialGitServer, type TrialWorkingCopy } from "#harness/git-server.ts";
import { GIT_ENVIRONMENT } from "../../website/releases/git.ts";
import { packet } from "./hooks/pkt-line.ts";

const MEGABYTE = 1_048_576;
let server: TrialGitServer;
let copy: TrialWorkingCopy;
let head: string;

beforeAll(async () => {
  server = await TrialGitServer.start();
  await server.addWebsite("s1");
  server.control.onPush = ({ website, id: pushId }) => void server.desk.settle({ website, pushId, isLive: true, reason: null });
  copy = await server.workingCopy("site", { "docroot/index.php": "<?php echo 1;" });
  head = (await copy.git("rev-parse", "HEAD")).trim();
});
afterAll(() => server.stop());

test("a commit that unpacks to more than a release may have is refused with the bound, its size and its largest files", async () => {
  server.releaseMegabytes = 4;
  await copy.write({ "docroot/dump.sql": "\0".repeat(3 * MEGABYTE), "docroot/other.sql": "\0".repeat(2 * MEGABYTE) });
  const large = await copy.commit("Large");
  const pushed = await copy.push("s1");
  expect(pushed.exitCode).not.toBe(0);
  expect(pushed.stderr).toMatch(/remote: its 3 files take 5\.0 MB on a disk, and a release may have 4 MB → /);
  expect(pushed.stderr).toMatch(/remote: +3\.0 MB {2}docroot\/dump\.sql *\nremote: +2\.0 MB {2}docroot\/other\.sql *\n/);
  expect([await server.repository("s1").readBranch("main"), server.control.pushes]).toEqual([null, []]);
  server.releaseMegabytes = 6;
  const again = await copy.push("s1");
  expect(again.exitCode, again.stderr).toBe(0);
  expect(await server.repository("s1").readBranch("main")).toBe(large);
});

test("a commit of many empty files is refused by what they take on a disk", async () => {
  server.releaseMegabytes = 4;
  await copy.git("checkout", "-q", "-b", "many");
  await copy.write(Object.fromEntries(Array.from({ length: 1_030 }, (_, nth) => [`docroot/empty/${nth}`, ""])));
  await copy.commit("Many");
  const pushed = await copy.push("s1", "HEAD:main");
  server.releaseMegabytes = 6;
  await copy.git("checkout", "-q", "main");
  expect(pushed.exitCode).not.toBe(0);
  expect(pushed.stderr).toMatch(/remote: its 1\d{3} files take \d\.\d MB on a disk, and a release may have 4 MB/);
});

test("what is pushed stays packed, also where it is little", async () => {
  const { stdout } = await execa("git", ["--git-dir", server.repository("s1").path, "count-objects", "-v"]);
  expect(stdout).toMatch(/^count: 0$/m);
  expect(stdout).toMatch(/^in-pack: [1-9]/m);
});

test("a pack of a megabyte with an object of a gigabyte is refused, and leaves nothing behind", async () => {
  const objects = join(server.repository("s1").path, "objects");
  const before = await readdir(objects, { recursive: true });
  const command = packet(`${"0".repeat(40)} ${head} refs/heads/bomb\0report-status`);
  const { stdout, stderr } = await execa("git", ["receive-pack", server.repository("s1").path], {
    input: Buffer.concat([Buffer.from(`${command}0000`), bomb(1_024)]),
    env: GIT_ENVIRONMENT,
    extendEnv: false,
    reject: false,
  });
  expect(stderr).toMatch(/attempting to allocate 107374182\d over limit/);
  expect(stdout).toContain("ng refs/heads/bomb");
  expect(await readdir(objects, { recursive: true })).toEqual(before);
});

/** A pack (gitformat-pack) of a random megabyte, and of an object that is so many copies of it. */
function bomb(copies: number): Buffer {
  const base = entry(3, MEGABYTE, randomBytes(MEGABYTE));
  // "Copy 0x100000 bytes from the beginning": offset and the size's zero bytes are left out.
  const delta = Buffer.concat([sizeBytes(MEGABYTE), sizeBytes(copies * MEGABYTE), Buffer.alloc(2 * copies, Buffer.from([0xc0, 0x10]))]);
  const header = Buffer.from([...Buffer.from("PACK"), 0, 0, 0, 2, 0, 0, 0, 2]);
  const pack = Buffer.concat([header, base, entry(6, delta.length, delta, distance(base.length))]);
  return Buffer.concat([pack, createHash("sha1").update(pack).digest()]);
}

function entry(type: number, size: number, content: Buffer, between: Buffer = Buffer.alloc(0)): Buffer {
  const rest = Math.floor(size / 16);
  const first = Buffer.from([(rest > 0 ? 0x80 : 0) | (type << 4) | (size % 16)]);
  return Buffer.concat([first, rest > 0 ? sizeBytes(rest) : Buffer.alloc(0), between, deflateSync(content)]);
}

/** Seven bits a byte, the lowest first. */
function sizeBytes(size: number): Buffer {
  const bytes: number[] = [];
  let rest = size;
  for (; rest > 127; rest = Math.floor(rest / 128)) bytes.push(0x80 | (rest % 128));
  return Buffer.from([...bytes, rest]);
}

/** How far back the base begins: seven bits a byte, the highest first, one less in all but the last. */
function distance(to: number): Buffer {
  const bytes = [to % 128];
  for (let rest = Math.floor(to / 128); rest > 0; rest = Math.floor((rest - 1) / 128)) bytes.unshift(0x80 | ((rest - 1) % 128));
  return Buffer.from(bytes);
}
