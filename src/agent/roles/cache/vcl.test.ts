import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer, type IncomingMessage, request, type Server, type ServerResponse } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { nowMicros, timestampOf } from "#base/clock.ts";
import { until } from "#base/retry.ts";
import { run } from "#base/run.ts";
import { Holds } from "./holds.ts";
import { renderVcl } from "./vcl.ts";

/** The VCL names its boxes by address alone, port 80; loopback has addresses enough. */
const [BOX, EDGE, CACHE, SHELL, STRANGER] = ["127.55.0.10", "127.55.0.1", "127.55.0.2", "127.55.0.11", "127.55.0.99"];
const spec = {
  cluster: "c1",
  boxes: [{ name: "c1b1", address: BOX }],
  edges: [EDGE],
  purgers: [BOX, SHELL],
  varnishMegabytes: 16,
  memcachedMegabytes: 16,
};

let folder: string;
const running: ChildProcess[] = [];
let box: Server;
/** What the box was asked for, health probes aside. */
let asked: IncomingMessage[] = [];
let answer: { status: number; headers: Record<string, string> };
let pages = 0;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "boxyard-vcl-"));
  await chmod(folder, 0o755);
  box = createServer((incoming, outgoing) => {
    if (incoming.url === "/boxyard-health") return outgoing.end("OK");
    asked.push(incoming);
    return outgoing.writeHead(answer.status, { "x-boxyard-site": "s1", ...answer.headers }).end(`answer ${asked.length}`);
  }).listen(80, BOX);
  await startVarnish(CACHE, spec);
});

async function startVarnish(address: string, vcl: typeof spec): Promise<void> {
  const path = join(folder, `${address}.vcl`);
  await writeFile(path, renderVcl(vcl, join(folder, "holds")));
  const storage = ["-n", join(folder, address), "-s", "malloc,16m", "-T", "none", "-j", "none"];
  running.push(spawn("/usr/sbin/varnishd", ["-F", "-a", `${address}:80`, "-f", path, ...storage], { stdio: "ignore" }));
  const isThere = () =>
    ask(EDGE, "/boxyard-health", { host: "health" }, "GET", address).then(
      () => true as const,
      () => null,
    );
  await until("Varnish to answer", isThere, { timeoutMs: 30_000 });
}

afterAll(async () => {
  for (const varnish of running) {
    const ended = once(varnish, "exit");
    varnish.kill();
    await ended;
  }
  box.close();
  await rm(folder, { recursive: true, force: true });
});

let page: string;
beforeEach(() => {
  asked = [];
  answer = { status: 200, headers: { "cache-control": "public, max-age=60" } };
  page = `/page-${++pages}`;
});

interface Reply {
  readonly status: number;
  readonly cache: string | undefined;
  readonly headers: IncomingMessage["headers"];
  readonly body: string;
}

/** A request as `from` sends it. */
async function ask(from: string, path: string, headers: Record<string, string> = {}, method = "GET", cache = CACHE): Promise<Reply> {
  const outgoing = request({ host: cache, port: 80, localAddress: from, path, method, headers: { host: "a.example", ...headers } });
  outgoing.end();
  const [incoming] = (await once(outgoing, "response")) as [IncomingMessage];
  const chunks = await incoming.toArray();
  const xCache = incoming.headers["x-cache"];
  return { status: incoming.statusCode ?? 0, cache: xCache?.toString(), headers: incoming.headers, body: Buffer.concat(chunks).toString() };
}

test("the VCL of a cluster without boxes, edges and others compiles too", async () => {
  const path = join(folder, "empty.vcl");
  await writeFile(path, renderVcl({ ...spec, boxes: [], edges: [], purgers: [] }));
  expect((await run(["varnishd", "-C", "-f", path, "-n", join(folder, "check")])).exitCode).toBe(0);
});

describe("a page", () => {
  test("is asked for once and delivered from memory with its age; the platform's own headers stay inside", async () => {
    expect((await ask(EDGE, page)).cache).toBe("MISS");
    const { cache, headers, body } = await ask(EDGE, page);
    expect([cache, body]).toEqual(["HIT", "answer 1"]);
    expect(headers["age"]).toBeDefined();
    for (const inner of ["x-boxyard-site", "x-boxyard-url", "via", "x-varnish"]) expect(headers[inner]).toBeUndefined();
  });

  test("of one domain is not delivered for another", async () => {
    await ask(EDGE, page);
    expect((await ask(EDGE, page, { host: "b.example" })).body).toBe("answer 2");
  });

  test("of the website that had the domain before is not delivered for the one that has it now, also when no box answers", async () => {
    const [former, now] = ["s1", "s2"].map((website) => ({ "x-boxyard-site": website }));
    await ask(EDGE, page, former);
    expect(await ask(EDGE, page, former)).toMatchObject({ cache: "HIT", body: "answer 1" });
    answer = { status: 503, headers: { "x-boxyard-site": "s2" } };
    expect((await ask(EDGE, page, now)).status).toBe(503);
    answer = { status: 200, headers: { "cache-control": "public, max-age=60", "x-boxyard-site": "s2" } };
    const { cache, body } = await ask(EDGE, page, now);
    expect(cache).toBe("MISS");
    expect(asked.at(-1)?.headers["x-boxyard-site"]).toBeUndefined();
    expect(await ask(EDGE, page, now)).toMatchObject({ cache: "HIT", body });
  });

  test("that the next website never lets be stored does not bring the former one's back", async () => {
    await ask(EDGE, page, { "x-boxyard-site": "s1" });
    answer = { status: 200, headers: { "cache-control": "no-store", "x-boxyard-site": "s2" } };
    for (const body of ["answer 2", "answer 3"]) expect((await ask(EDGE, page, { "x-boxyard-site": "s2" })).body).toBe(body);
  });

  test("of a visitor with cookies of others than the application comes from memory, and the box does not see them", async () => {
    await ask(EDGE, page);
    expect((await ask(EDGE, page, { cookie: "_ga=1; consent=yes; myNO_CACHE=2" })).cache).toBe("HIT");
    await ask(EDGE, `${page}-other`, { cookie: "_ga=1" });
    expect(asked.at(-1)?.headers["cookie"]).toBeUndefined();
  });

  test.each([
    "SESS0123abcd=x",
    "SSESS0123abcd=x",
    "wordpress_logged_in_abc=x",
    "wordpress_sec_abc=x",
    "wp-postpass_abc=x",
    "comment_author_abc=x",
    "NO_CACHE=1",
  ])("of a visitor with %s is never from memory, never stored, and the box gets this cookie alone", async (cookie) => {
    await ask(EDGE, page);
    expect(await ask(EDGE, page, { cookie: `_ga=1; ${cookie}; theme=dark` })).toMatchObject({ cache: "PASS", body: "answer 2" });
    expect(asked.at(-1)?.headers["cookie"]).toBe(cookie);
    expect((await ask(EDGE, page)).body).toBe("answer 1");
  });

  test.each([
    { what: "sets a cookie", headers: { "set-cookie": "a=b", "cache-control": "public, max-age=60" } },
    { what: "is private", headers: { "cache-control": "private, max-age=60" } },
    { what: "is not to be stored", headers: { "cache-control": "no-store" } },
    { what: "says nothing of caching", headers: {} },
    { what: "varies by everything", headers: { vary: "*", "cache-control": "public, max-age=60" } },
  ])("that $what is not stored", async ({ headers }) => {
    answer = { status: 200, headers: headers as Record<string, string> };
    await ask(EDGE, page);
    expect((await ask(EDGE, page)).body).toBe("answer 2");
  });

  test.each(["/wp-login.php", "/wp-admin/", "/user/login", "/user?a=1", "/admin", "/xmlrpc.php"])("at %s is never stored", async (path) => {
    await ask(EDGE, path);
    expect((await ask(EDGE, path)).body).toBe("answer 2");
  });

  test("that failed is not stored, and a POST reaches the box once", async () => {
    answer = { status: 500, headers: {} };
    await ask(EDGE, page);
    answer = { status: 503, headers: {} };
    asked = [];
    expect((await ask(EDGE, `${page}-post`, {}, "POST")).status).toBe(503);
    expect(asked).toHaveLength(1);
  });
});

describe("a cache", () => {
  test("answers edges and its cluster's servers, nobody else", async () => {
    expect((await ask(STRANGER, page)).status).toBe(403);
    expect((await ask(SHELL, page)).status).toBe(200);
    expect((await ask(EDGE, page)).status).toBe(200);
  });

  test("purges a page for its cluster's servers, not for a visitor who comes through an edge", async () => {
    await ask(EDGE, page);
    for (const from of [EDGE, STRANGER]) expect((await ask(from, page, {}, "PURGE")).status).toBe(405);
    expect((await ask(EDGE, page)).cache).toBe("HIT");
    expect((await ask(SHELL, page, {}, "PURGE")).status).toBe(200);
    expect((await ask(EDGE, page)).cache).toBe("MISS");
  });

  test("believes an edge who the visitor is, and a server of the cluster never", async () => {
    await ask(EDGE, page, { "x-forwarded-for": "192.0.2.7" });
    expect(asked.at(-1)?.headers["x-forwarded-for"]).toContain("192.0.2.7");
    await ask(SHELL, `${page}-shell`, { "x-forwarded-for": "192.0.2.7" });
    expect(asked.at(-1)?.headers["x-forwarded-for"] ?? "").not.toContain("192.0.2.7");
  });

  test("does not let a visitor choose the website or its release", async () => {
    await ask(EDGE, page, { "x-boxyard-site": "s9", "x-boxyard-release": "f".repeat(40) });
    expect(asked.at(-1)?.headers["x-boxyard-site"]).toBeUndefined();
    expect(asked.at(-1)?.headers["x-boxyard-release"]).toBeUndefined();
  });
});

describe("a box that fails while it counts as healthy", () => {
  const [OTHER_BOX, OTHER_CACHE] = ["127.55.0.12", "127.55.0.3"];
  let failing: Server;
  let failures = 0;
  let fail: (outgoing: ServerResponse) => void;

  beforeAll(async () => {
    failing = createServer((incoming, outgoing) => {
      if (incoming.url === "/boxyard-health") return outgoing.end("OK");
      failures++;
      return fail(outgoing);
    }).listen(80, OTHER_BOX);
    await startVarnish(OTHER_CACHE, { ...spec, boxes: [...spec.boxes, { name: "c1b2", address: OTHER_BOX }] });
  });
  afterAll(() => {
    failing.close();
  });

  test.each<[string, (outgoing: ServerResponse) => void]>([
    ["breaks off", (outgoing) => outgoing.destroy()],
    ["says that it is not ready", (outgoing) => outgoing.writeHead(503).end()],
  ])("(it %s) costs no visitor a page: the other box is asked", async (_, how) => {
    fail = how;
    failures = 0;
    answer = { status: 200, headers: { "cache-control": "no-store" } };
    const replies = await Promise.all(Array.from({ length: 60 }, (_, nth) => ask(EDGE, `${page}-${nth}`, {}, "GET", OTHER_CACHE)));
    expect(replies.map(({ status }) => status)).toEqual(replies.map(() => 200));
    expect(failures).toBeGreaterThan(10);
    expect(failures).toBeLessThan(50);
  });
});

describe("a website whose visitors wait", () => {
  const domain = "held.example";
  const host = { host: domain };
  let holds: Holds;

  async function hold(seconds: number, forMs = 60_000): Promise<void> {
    await holds.hold("s7", { domains: [domain], seconds, until: timestampOf(nowMicros() + forMs * 1_000) });
  }

  beforeEach(async () => {
    holds = new Holds(join(folder, "holds"));
    await holds.start();
  });
  afterEach(async () => {
    await holds.letGo("s7");
    holds.stop();
  });

  /** Whether it is still unanswered after a moment in which others are answered. */
  async function waits(reply: Promise<Reply>): Promise<boolean> {
    return (await Promise.race([reply.then(() => "answered"), sleep(600, "waits")])) === "waits";
  }

  test.each(["GET", "POST"])("asks no box for them (%s) until they are let go, and nothing of a request is lost", async (method) => {
    await hold(30);
    const reply = ask(EDGE, page, { ...host, cookie: "SESSabc=1" }, method);
    expect(await waits(reply)).toBe(true);
    expect(asked).toHaveLength(0);
    expect((await ask(EDGE, page)).status).toBe(200);
    await holds.letGo("s7");
    expect((await reply).status).toBe(200);
    expect(asked.at(-1)).toMatchObject({ method, headers: { host: domain } });
  });

  test("goes on being served from memory, also what is a little too old", async () => {
    answer = { status: 200, headers: { "cache-control": "public, max-age=1" } };
    await ask(EDGE, page, host);
    await hold(30);
    await sleep(1_500);
    expect(await ask(EDGE, page, { host: "Held.Example:443" })).toMatchObject({ cache: "HIT", body: "answer 1" });
  });

  test("tells those who have waited for as long as was said to come again, and asks no box for them", async () => {
    await hold(1);
    const startedAtMs = performance.now();
    const { status, headers, body } = await ask(EDGE, page, host);
    expect([status, headers["retry-after"]]).toEqual([503, "5"]);
    expect(body).toContain("One moment, please");
    expect(performance.now() - startedAtMs).toBeGreaterThan(950);
    expect(asked).toHaveLength(0);
  });

  test("lets them go when the time is over, also when the agent was started anew meanwhile", async () => {
    await hold(30, 1_500);
    holds.stop();
    holds = new Holds(join(folder, "holds"));
    await holds.start();
    expect((await ask(EDGE, page, host)).status).toBe(200);
  });

  test.each(["..", "../domains", "", ".", "a/../held.example"])("is nothing to a visitor who asks for the host %j", async (strange) => {
    await hold(30);
    expect((await ask(EDGE, page, { host: strange })).status).toBeLessThan(500);
  });
});
