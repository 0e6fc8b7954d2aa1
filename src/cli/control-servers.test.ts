import { createServer, type Server } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, beforeEach, expect, test } from "vitest";
import { renderFault } from "#base/fault.ts";
import { api } from "#contract/api/routes.ts";
import { createAuthority } from "#control/authority/authority.ts";
import { faultOf, ScriptedControl } from "#harness/scripted-control.ts";
import { answered, STATUS } from "#harness/shown.ts";
import { type Client, type ClientOptions, createClient } from "./client.ts";

const authority = await createAuthority("main");
const notes: string[] = [];
let servers: [ScriptedControl, ScriptedControl, ScriptedControl];
beforeEach(async () => {
  servers = [await ScriptedControl.start(authority), await ScriptedControl.start(authority), await ScriptedControl.start(authority)];
  for (const [at, one] of servers.entries()) {
    one.isLeading = at === 0;
    one.script = { status: () => STATUS };
  }
  notes.length = 0;
});
afterEach(() => Promise.all(servers.map((one) => one.stop())));

function clientOf(urls: readonly string[] = servers.map(({ url }) => url), options: ClientOptions = {}): Client {
  return createClient("main", { ...servers[0].access, urls }, { note: (line) => void notes.push(line), ...options });
}

/** Another takes it over: after a while in which nobody leads, or at once. */
function takeOver(from: ScriptedControl, to: ScriptedControl, afterMs = 0): void {
  from.die();
  if (afterMs === 0) to.isLeading = true;
  else setTimeout(() => (to.isLeading = true), afterMs);
}

/** A machine without power: it takes connections, and never says anything. */
async function blackHole(): Promise<{ url: string; server: Server; stop: () => Promise<void> }> {
  const sockets = new Set<{ destroy(): void }>();
  const server = createServer((socket) => void sockets.add(socket.resume().on("error", () => undefined)));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { port: number };
  const stop = (): Promise<void> => {
    for (const socket of sockets) socket.destroy();
    return new Promise((resolve) => server.close(() => resolve()));
  };
  return { url: `https://127.0.0.1:${port}`, server, stop };
}

async function openConnections(server: Server): Promise<number> {
  return new Promise((resolve, reject) => server.getConnections((error, count) => (error ? reject(error) : resolve(count))));
}

test("one address alone is never asked whether it leads", async () => {
  await clientOf([servers[0].url]).call(api.status);
  expect([servers[0].looks, servers[0].asked.length]).toEqual([0, 1]);
});

test("of three the one that leads is asked, over the connection by which it said so, and is not looked for again", async () => {
  const client = clientOf();
  for (let nth = 0; nth < 3; nth++) expect(await client.call(api.status)).toEqual(STATUS);
  expect(servers.map(({ asked }) => asked.length)).toEqual([3, 0, 0]);
  expect([servers[0].looks, servers[0].connections, notes]).toEqual([1, 1, []]);
});

test("one without power delays nobody, wherever it stands, and nothing is left open to it", async () => {
  const hole = await blackHole();
  takeOver(servers[0], servers[2]);
  expect(await clientOf([hole.url, servers[1].url, servers[2].url]).call(api.status)).toEqual(STATUS);
  expect([servers[2].asked.length, notes]).toEqual([1, []]);
  await expect.poll(() => openConnections(hole.server)).toBe(0);
  await hole.stop();
});

test("a question is asked once more when who leads dies over it", async () => {
  servers[0].script = {
    status: () => {
      takeOver(servers[0], servers[1]);
      return STATUS;
    },
  };
  expect(await clientOf().call(api.status)).toEqual(STATUS);
  expect(servers.map(({ asked }) => asked.length)).toEqual([1, 1, 0]);
});

test("what changes something is never asked twice when who leads dies over it: it may have been done", async () => {
  servers[0].script = {
    createCluster: () => {
      takeOver(servers[0], servers[1]);
      throw new Error("nobody is told");
    },
  };
  const fault = await faultOf(clientOf().call(api.createCluster));
  expect(fault.code).toBe("control.broken-off");
  expect(renderFault(fault)).toMatch(/may have been done all the same: .*\n→ .*boxyard status.*ask again/);
  expect(servers.map(({ asked }) => asked.length)).toEqual([1, 0, 0]);
});

test.each([
  { what: "gone", end: () => takeOver(servers[0], servers[1]) },
  { what: "standing by", end: () => ([servers[0].isLeading, servers[1].isLeading] = [false, true]) },
])("what changes something is asked of the next one when the last one is $what by then", async ({ end }) => {
  const client = clientOf();
  servers[1].script = { deleteCluster: () => ({ id: "c1" }) };
  await client.call(api.status);
  end();
  // The end of a connection is noticed in a later turn.
  await sleep(50);
  expect(await client.call(api.deleteCluster, { params: { cluster: "c1" } })).toEqual({ id: "c1" });
  expect(servers.map(({ asked }) => asked.length)).toEqual([1, 1, 0]);
});

test("what servers were asked is not asked again when who leads dies over their answers", async () => {
  const story = answered({ server: "c1b1", durationMs: 1, output: {} });
  servers[0].script = { request: () => story };
  servers[0].breaksAfter = 1;
  const client = clientOf();
  const lines: unknown[] = [];
  const read = async (): Promise<void> => {
    for await (const line of client.stream(api.request, { input: { action: "server.ping", target: "all" } })) lines.push(line);
  };
  const fault = await faultOf(read());
  expect([fault.code, lines]).toEqual(["control.broken-off", story.slice(0, 1)]);
  expect(renderFault(fault)).toMatch(/servers that were asked may have done it all the same: .*\n→ look what became of it/);
  expect(servers[0].asked.length).toBe(1);
});

test("while nobody leads all are asked again, which is said once, until one does", async () => {
  servers[0].isLeading = false;
  setTimeout(() => (servers[2].isLeading = true), 2_000);
  expect(await clientOf().call(api.status)).toEqual(STATUS);
  expect(notes).toEqual(["control of yard main is being taken over by another server, which takes up to half a minute"]);
});

test("when nobody leads to the end all are named with why, also one that proves to be a stranger", async () => {
  const stranger = await ScriptedControl.start();
  servers[0].isLeading = false;
  servers[1].die();
  const fault = await faultOf(clientOf([servers[0].url, servers[1].url, stranger.url], { searchMs: 1_500 }).call(api.status));
  expect(fault.code).toBe("control.unreachable");
  const [said = "", mend] = renderFault(fault).split("\n");
  expect(said).toContain(`${servers[0].url}: stands by; ${servers[1].url}: connect ECONNREFUSED`);
  expect(said).toContain(`${stranger.url}: does not prove that it is control of yard main`);
  expect(mend).toBe("→ bin/up --yard main reads the yard's certificate authority anew, and starts what is stopped");
  expect([stranger.asked, notes.length]).toEqual([[], 1]);
  await stranger.stop();
});

test("a stranger beside the one that leads gets no token and keeps nobody", async () => {
  const stranger = await ScriptedControl.start();
  expect(await clientOf([stranger.url, servers[0].url]).call(api.status)).toEqual(STATUS);
  expect([stranger.asked, stranger.looks]).toEqual([[], 0]);
  await stranger.stop();
});

test("nobody but strangers is told at once", async () => {
  const [one, other] = [await ScriptedControl.start(), await ScriptedControl.start()];
  const fault = await faultOf(clientOf([one.url, other.url]).call(api.status));
  expect([fault.code, fault.message]).toEqual(["control.untrusted", expect.stringContaining(other.url)]);
  await Promise.all([one.stop(), other.stop()]);
});

test("who loses its power over a question is left for the one that leads by now", async () => {
  const client = clientOf(undefined, { watchMs: 200 });
  await client.call(api.status);
  servers[0].isSilent = true;
  servers[1].isLeading = true;
  expect(await client.call(api.status)).toEqual(STATUS);
  expect(servers[1].asked.length).toBe(1);
});

test("who takes long over an answer is not left while it leads", async () => {
  servers[0].script = { status: () => STATUS };
  const client = clientOf(undefined, { watchMs: 100 });
  await client.call(api.status);
  servers[0].delayMs = 1_000;
  expect(await client.call(api.status)).toEqual(STATUS);
  expect(servers[0].looks).toBeGreaterThan(2);
});
