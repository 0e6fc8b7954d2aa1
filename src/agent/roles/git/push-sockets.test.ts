import { once } from "node:events";
import { chmod, chown, lstat, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import type { RefRequest } from "./push-desk.ts";
import { PushSockets } from "./push-sockets.ts";
import type { Verdict } from "./push-story.ts";

const UID = 20_001;
const REQUEST = { ref: "refs/heads/main", old: "0".repeat(40), new: "a".repeat(40) };
const LINE = `${JSON.stringify(REQUEST)}\n`;
const { signal } = new AbortController();

let directory: string;
let sockets: PushSockets;
/** What has come to the desk, and how it takes a push. */
const taken: { website: string; request: RefRequest }[] = [];
let take: (say: (line: string) => void) => Promise<Verdict>;
const clients: Socket[] = [];

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "boxyard-sockets-"));
  taken.length = 0;
  take = async () => ({ isOk: true });
  sockets = new PushSockets(directory, async (website, request, say) => {
    taken.push({ website, request });
    return take(say);
  });
});
afterEach(async () => {
  vi.useRealTimers();
  for (const client of clients.splice(0)) client.destroy();
  await sockets.stop();
  await rm(directory, { recursive: true, force: true });
});

const open = (website = "s1") => sockets.socket(website, UID).apply(signal);

async function reach(website = "s1"): Promise<Socket> {
  const client = connect(sockets.pathOf(website));
  clients.push(client);
  // Who is refused may hear of it as a broken pipe.
  client.on("error", () => undefined);
  await once(client, "connect");
  return client;
}

/** How many sockets listen at the path, also at one that was removed. */
async function listening(website = "s1"): Promise<number> {
  const sockets = (await readFile("/proc/net/unix", "utf8")).split("\n");
  return sockets.filter((line) => line.endsWith(` ${join(directory, website)}.sock`) && line.includes(" 00010000 ")).length;
}

/** What is answered until the connection ends. */
async function ask(said: string, website = "s1"): Promise<unknown[]> {
  const client = await reach(website);
  client.write(said);
  return (await text(client))
    .split("\n")
    .slice(0, -1)
    .map((line) => JSON.parse(line));
}

describe("a website's socket", () => {
  test("is made for its account alone, and stays", async () => {
    const socket = sockets.socket("s1", UID);
    expect(await socket.mismatch(signal)).toBe("is not open");
    await socket.apply(signal);
    expect(await socket.mismatch(signal)).toBeNull();
    const { mode, uid, gid } = await stat(join(directory, "s1.sock"));
    expect([mode & 0o777, uid, gid]).toEqual([0o600, UID, UID]);
  });

  test.each([
    ["is not the website's own", (path: string) => chmod(path, 0o660)],
    ["is not the website's own", (path: string) => chown(path, UID + 1, UID)],
    ["is missing", (path: string) => rm(path)],
    [
      "is missing",
      async (path: string) => {
        await rm(path);
        await writeFile(path, "", { mode: 0o600 });
        await chown(path, UID, UID);
      },
    ],
  ])("that %s is made anew, and answers then", async (reason, spoil) => {
    await open();
    await spoil(sockets.pathOf("s1"));
    const socket = sockets.socket("s1", UID);
    expect(await socket.mismatch(signal)).toBe(reason);
    await socket.apply(signal);
    expect(await socket.mismatch(signal)).toBeNull();
    expect(await listening()).toBe(1);
    expect(await ask(LINE)).toEqual([{ verdict: "ok" }]);
  });

  test("takes the place of what an earlier process left", async () => {
    await writeFile(sockets.pathOf("s1"), "");
    await open();
    expect((await lstat(sockets.pathOf("s1"))).isSocket()).toBe(true);
  });

  test("that cannot be made is a fault", async () => {
    await rm(directory, { recursive: true });
    await expect(open()).rejects.toMatchObject({ syscall: "listen" });
    expect(await sockets.socket("s1", UID).mismatch(signal)).toBe("is not open");
  });

  test("is closed when its website is none of these, and all are when the agent stops", async () => {
    for (const website of ["s1", "s2", "s3"]) await open(website);
    const others = sockets.noOthers(new Set(["s2", "s4"]));
    expect(await others.mismatch(signal)).toBe("s1, s3 should not be open");
    await others.apply(signal);
    expect(await others.mismatch(signal)).toBeNull();
    expect(await readdir(directory)).toEqual(["s2.sock"]);
    expect(await ask(LINE, "s2")).toEqual([{ verdict: "ok" }]);
    await sockets.stop();
    expect(await readdir(directory)).toEqual([]);
    for (const website of ["s1", "s2", "s3"]) expect(await listening(website)).toBe(0);
    expect(await sockets.noOthers(new Set()).mismatch(signal)).toBeNull();
  });
});

describe("a push", () => {
  test("comes to the desk as the socket's website's, and its pusher hears each line and the verdict", async () => {
    for (const website of ["s1", "s2"]) await open(website);
    take = async (say) => {
      say("accepted");
      say("staging “c1b1”");
      return { isOk: true };
    };
    expect(await ask(LINE, "s2")).toEqual([{ line: "accepted" }, { line: "staging “c1b1”" }, { verdict: "ok" }]);
    expect(taken).toEqual([{ website: "s2", request: REQUEST }]);
  });

  test("that is refused ends with the reason", async () => {
    await open();
    take = async () => ({ isOk: false, reason: "no space" });
    expect(await ask(LINE)).toEqual([{ verdict: "ng", reason: "no space" }]);
  });

  test("goes on when its pusher goes in the middle of a line, and then says nothing more", async () => {
    await open();
    const crashes: unknown[] = [];
    const note = (thrown: unknown): void => void crashes.push(thrown);
    process.on("uncaughtException", note);
    const [isBegun, isGone, isEnded] = [Promise.withResolvers<void>(), Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    take = async (say) => {
      // More than lies on the way.
      say("x".repeat(4_000_000));
      isBegun.resolve();
      await isGone.promise;
      say("nobody listens");
      isEnded.resolve();
      return { isOk: true };
    };
    const client = await reach();
    client.write(LINE);
    await isBegun.promise;
    client.destroy();
    await sleep(50);
    isGone.resolve();
    await isEnded.promise;
    await sleep(20);
    process.off("uncaughtException", note);
    expect(crashes).toEqual([]);
  });
});

describe("a request", () => {
  test("may come in parts, and what follows its line is not read", async () => {
    await open();
    const client = await reach();
    const bytes = Buffer.from(`${JSON.stringify({ ...REQUEST, ref: "refs/heads/größe" })}\n{"ref":"more"}\n`);
    const middle = bytes.indexOf("ö") + 1;
    client.write(bytes.subarray(0, middle));
    await sleep(30);
    expect(taken).toEqual([]);
    client.write(bytes.subarray(middle));
    expect(await text(client)).toBe('{"verdict":"ok"}\n');
    expect(taken).toEqual([{ website: "s1", request: { ...REQUEST, ref: "refs/heads/größe" } }]);
  });

  test.each([
    ["no JSON", "refs/heads/main\n"],
    ["no object", "null\n"],
    ["an empty line", "\n"],
    ["no commit", `${JSON.stringify({ ...REQUEST, new: "main" })}\n`],
    ["a ref of 1001 characters", `${JSON.stringify({ ...REQUEST, ref: "r".repeat(1_001) })}\n`],
  ])("that is %s is not answered", async (_what, said) => {
    await open();
    expect(await ask(said)).toEqual([]);
    expect(taken).toEqual([]);
  });

  test("may have a ref of 1000 characters", async () => {
    await open();
    expect(await ask(`${JSON.stringify({ ...REQUEST, ref: "r".repeat(1_000) })}\n`)).toEqual([{ verdict: "ok" }]);
  });

  test("without an end is listened to for 4096 characters", async () => {
    await open();
    const client = await reach();
    const closed = once(client.resume(), "close");
    client.write("x".repeat(4_096));
    await sleep(50);
    expect(client.closed).toBe(false);
    client.write("x");
    await Promise.race([closed, sleep(5_000).then(() => Promise.reject(new Error("it is still open")))]);
    expect(taken).toEqual([]);
  });

  test("is waited for some seconds, and for no longer than its pusher is there", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    await open();
    const served = (count: number) => vi.waitUntil(() => vi.getTimerCount() === count, { timeout: 5_000 });
    const silent = await reach();
    await served(1);
    const closed = once(silent.resume(), "close");
    await vi.advanceTimersByTimeAsync(10_000);
    await closed;
    const gone = await reach();
    await served(1);
    gone.destroy();
    await served(0);
    expect(await ask(LINE)).toEqual([{ verdict: "ok" }]);
    expect(vi.getTimerCount()).toBe(0);
    expect(taken).toHaveLength(1);
  });
});

test("sixteen pushers of a website are served at a time, and one more is turned away", async () => {
  await open();
  for (let pusher = 0; pusher < 16; pusher++) await reach();
  const more = await reach();
  await Promise.race([once(more.resume(), "close"), sleep(5_000).then(() => Promise.reject(new Error("it is still open")))]);
  expect(clients.filter(({ closed }) => closed)).toEqual([more]);
});
