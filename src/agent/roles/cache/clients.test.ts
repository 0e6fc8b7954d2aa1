import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { afterAll, beforeAll, expect, test } from "vitest";
import { run } from "#base/run.ts";
import { memcachedClients } from "./clients.ts";

/** A server with memcached's port, and one neighbour that has two addresses; each with a network of its own. */
const [CACHE, NEIGHBOUR] = [`by-cache-${process.pid}`, `by-near-${process.pid}`];
const [OWN, FOREIGN, SERVER] = ["10.99.7.2", "10.99.7.3", "10.99.7.1"];
/** Answers on two ports, as long as a connection lasts. */
const SERVICE = `for (const port of [11211, 80]) require("net").createServer((s) => { s.on("error", () => 0); s.on("data", (d) => s.write(d)); }).listen(port, () => console.log("listens"))`;
let service: ChildProcess;

beforeAll(async () => {
  for (const space of [CACHE, NEIGHBOUR]) await run(["ip", "netns", "add", space]);
  await run(["ip", "link", "add", "eth0", "netns", CACHE, "type", "veth", "peer", "name", "eth0", "netns", NEIGHBOUR]);
  for (const [space, address] of [
    [CACHE, SERVER],
    [NEIGHBOUR, OWN],
    [NEIGHBOUR, FOREIGN],
  ] as const)
    await run(["ip", "-n", space, "address", "add", `${address}/24`, "dev", "eth0"]);
  for (const space of [CACHE, NEIGHBOUR]) for (const link of ["lo", "eth0"]) await run(["ip", "-n", space, "link", "set", link, "up"]);
  service = spawn("ip", ["netns", "exec", CACHE, process.execPath, "-e", SERVICE], { stdio: ["ignore", "pipe", "inherit"] });
  if (service.stdout !== null) await once(service.stdout, "data");
});

afterAll(async () => {
  service.kill("SIGKILL");
  for (const space of [CACHE, NEIGHBOUR]) await run(["ip", "netns", "delete", space]);
});

async function allow(...addresses: string[]): Promise<void> {
  await run(["ip", "netns", "exec", CACHE, "nft", "-f", "-"], { input: memcachedClients(addresses) });
}

/** What becomes of a connection from one of the neighbour's addresses. */
async function connectFrom(space: string, from: string, port: number): Promise<string> {
  const script = `require("net").connect({ host: "${SERVER}", port: ${port}, localAddress: "${from}" })
    .on("connect", function () { this.write("hello"); }).on("data", (d) => { console.log("answers"); process.exit(); })
    .on("error", (e) => { console.log(e.code); process.exit(); })`;
  return (await run(["ip", "netns", "exec", space, process.execPath, "-e", script], { timeoutMs: 20_000 })).stdout.trim();
}

test("memcached's port answers its own cluster's servers and itself, and refuses all others at once", async () => {
  expect(await connectFrom(NEIGHBOUR, FOREIGN, 11211)).toBe("answers");
  await allow(OWN);
  expect(await connectFrom(NEIGHBOUR, FOREIGN, 11211)).toBe("ECONNREFUSED");
  expect(await connectFrom(NEIGHBOUR, OWN, 11211)).toBe("answers");
  expect(await connectFrom(CACHE, SERVER, 11211)).toBe("answers");
  expect(await connectFrom(NEIGHBOUR, FOREIGN, 80)).toBe("answers");
});

test("who joins and leaves the cluster is let in and refused by the next rules; without anybody all are refused", async () => {
  await allow(OWN, FOREIGN);
  expect(await connectFrom(NEIGHBOUR, FOREIGN, 11211)).toBe("answers");
  await allow(FOREIGN);
  expect(await connectFrom(NEIGHBOUR, OWN, 11211)).toBe("ECONNREFUSED");
  await allow();
  expect(await connectFrom(NEIGHBOUR, FOREIGN, 11211)).toBe("ECONNREFUSED");
});

test("a connection that a leaving box still uses goes on when the rules are replaced", async () => {
  await allow(OWN);
  const script = `const s = require("net").connect({ host: "${SERVER}", port: 11211, localAddress: "${OWN}" });
    s.on("data", (d) => console.log(String(d))); s.on("error", (e) => console.log(e.code)); process.stdin.on("data", (d) => s.write(d));`;
  const held = spawn("ip", ["netns", "exec", NEIGHBOUR, process.execPath, "-e", script], { stdio: ["pipe", "pipe", "inherit"] });
  try {
    held.stdin.write("before");
    expect(String((await once(held.stdout, "data"))[0]).trim()).toBe("before");
    await allow(FOREIGN);
    held.stdin.write("after");
    expect(String((await once(held.stdout, "data"))[0]).trim()).toBe("after");
  } finally {
    held.kill("SIGKILL");
  }
});
