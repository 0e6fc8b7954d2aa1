import { writeFile } from "node:fs/promises";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { connect } from "node:net";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { nowMicros, timestampOf } from "#base/clock.ts";
import { run } from "#base/run.ts";
import { askCache, type CacheReply, type Headers, TestVarnish } from "#harness/varnish.ts";
import { Holds } from "./holds.ts";
import { varnishDropIn } from "./role.ts";
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

const varnish = new TestVarnish();
let box: Server;
/** What the box was asked for, health probes aside. */
let asked: IncomingMessage[] = [];
let answer: { status: number; headers: Headers };
let pages = 0;

beforeAll(async () => {
  await varnish.begin(EDGE);
  box = createServer((incoming, outgoing) => {
    if (incoming.url === "/boxyard-health") return outgoing.end("OK");
    asked.push(incoming);
    return outgoing.writeHead(answer.status, { "x-boxyard-site": "s1", ...answer.headers }).end(`answer ${asked.length}`);
  }).listen(80, BOX);
  await startVarnish(CACHE, spec);
});

function startVarnish(address: string, vcl: typeof spec): Promise<void> {
  return varnish.start(address, renderVcl(vcl, { holds: join(varnish.folder, "holds") }));
}

afterAll(async () => {
  await varnish.end();
  box.close();
});

/** A request as `from` sends it. */
const ask = (from: string, path: string, headers?: Headers, method = "GET", cache = CACHE) =>
  askCache({ from, cache, path, method, ...(headers && { headers }) });

/** A request with a method that Node's client does not know. */
async function askRaw(from: string, method: string, path: string, host = "a.example"): Promise<string> {
  const socket = connect({ host: CACHE, port: 80, localAddress: from }).setEncoding("utf8");
  socket.write(`${method} ${path} HTTP/1.1\r\nhost: ${host}\r\nconnection: close\r\n\r\n`);
  return (await socket.toArray()).join("");
}

let page: string;
beforeEach(() => {
  asked = [];
  answer = { status: 200, headers: { "cache-control": "public, max-age=60" } };
  page = `/page-${++pages}`;
});

test("cache configuration is as its golden file and passes varnishd -C", { timeout: 120_000 }, async () => {
  const [path, vcl] = [join(varnish.folder, "golden.vcl"), renderVcl(spec)];
  await expect(vcl).toMatchFileSnapshot("golden/boxyard.vcl");
  await expect(varnishDropIn(spec)).toMatchFileSnapshot("golden/varnish.service.d.conf");
  await writeFile(path, vcl);
  expect((await run(["varnishd", "-C", "-f", path, "-n", join(varnish.folder, "check")])).exitCode).toBe(0);
});

test("the VCL of a cluster without boxes, edges and others compiles too", { timeout: 120_000 }, async () => {
  const path = join(varnish.folder, "empty.vcl");
  await writeFile(path, renderVcl({ ...spec, boxes: [], edges: [], purgers: [] }));
  expect((await run(["varnishd", "-C", "-f", path, "-n", join(varnish.folder, "check")])).exitCode).toBe(0);
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
    { what: "varies by everything among others", headers: { vary: "*,Accept-Encoding", "cache-control": "max-age=60" } },
    { what: "says so in a second line", headers: { vary: ["Accept", "*"], "cache-control": ["max-age=60", "max-age=60"] } },
    { what: "is private in a second line", headers: { "cache-control": ["max-age=60", "private"] } },
    { what: "has an end that is no date", headers: { expires: "0" } },
    { what: "has another end that is no date", headers: { expires: "-1", "last-modified": "Thu, 01 Jan 2026 00:00:00 GMT" } },
    { what: "has run out", headers: { expires: "Thu, 01 Jan 2026 00:00:00 GMT" } },
    { what: "names no lifetime", headers: { "cache-control": "public" } },
    ...[
      { pragma: "no-cache" },
      { "cache-control": "must-revalidate" },
      { "surrogate-control": "max-age=0" },
      { "cdn-cache-control": "no-store" },
    ].map((says) => ({
      what: `has a date and ${JSON.stringify(says)}`,
      headers: { ...says, "last-modified": "Thu, 01 Jan 2026 00:00:00 GMT" },
    })),
    { what: "has a lifetime of nothing", headers: { "cache-control": "max-age=0", "last-modified": "Thu, 01 Jan 2026 00:00:00 GMT" } },
  ])("that $what is not stored", async ({ headers }) => {
    answer = { status: 200, headers: headers as Headers };
    await ask(EDGE, page);
    expect(await ask(EDGE, page)).toMatchObject({ cache: "PASS", body: "answer 2" });
  });

  test.each([
    { what: "has a lifetime", headers: { "cache-control": "max-age=60" } },
    { what: "has an end that lies ahead", headers: { expires: new Date(Date.now() + 3_600_000).toUTCString() } },
    { what: "has a date alone", headers: { "last-modified": "Thu, 01 Jan 2026 00:00:00 GMT" } },
    { what: "varies by what it names", headers: { "cache-control": "max-age=60", vary: ["Accept", "Accept-Encoding"] } },
  ])("that $what is stored", async ({ headers }) => {
    answer = { status: 200, headers: headers as Headers };
    await ask(EDGE, page);
    expect(await ask(EDGE, page)).toMatchObject({ cache: "HIT", body: "answer 1" });
  });

  test("of which several ranges are wanted comes whole, and of one range this range", async () => {
    const [several, one] = ["bytes=0-1,3-4", "bytes=0-1"].map((range) => ({ range }));
    for (const cookie of [{}, { cookie: "NO_CACHE=1" }]) {
      const { status, body } = await ask(EDGE, page, { ...several, ...cookie });
      expect([status, body.slice(0, 7)]).toEqual([200, "answer "]);
      expect(asked.at(-1)?.headers["range"]).toBeUndefined();
    }
    expect(await ask(EDGE, page, several)).toMatchObject({ cache: "HIT", status: 200 });
    expect(await ask(EDGE, page, one)).toMatchObject({ cache: "HIT", status: 206, body: "an" });
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

  test.each(["BAN", "URIBAN", "REFRESH", "PURGEALL", "FULLBAN", "FLUSH", "INVALIDATE", "purge"])(
    "refuses %s, and asks no box what it thinks of it",
    async (method) => {
      for (const from of [EDGE, SHELL]) {
        expect(await askRaw(from, method, page)).toMatch(/^HTTP\/1.1 405 /);
        // What a probe asks for is no exception.
        expect(await askRaw(from, method, "/boxyard-health", "cache")).toMatch(/^HTTP\/1.1 405 /);
      }
      expect(asked).toHaveLength(0);
    },
  );

  test.each(["OPTIONS", "PUT", "PATCH", "DELETE", "PROPFIND", "REPORT"])("hands %s on", async (method) => {
    expect((await ask(EDGE, page, {}, method)).status).toBe(200);
    expect(asked).toMatchObject([{ method }]);
  });

  test("stores nothing that its cluster's servers ask for, gives them nothing stored, and believes nothing of what they claim", async () => {
    const names = ["host", "proto", "port", "for", "prefix", "scheme", "ssl", "server"].map((what) => `x-forwarded-${what}`);
    const others = ["forwarded", "x-real-ip", "client-ip", "x-original-url", "x-rewrite-url", "x-host", "front-end-https", "proxy"];
    const claims = Object.fromEntries([...names, ...others].map((name) => [name, "claimed"]));
    expect(await ask(SHELL, page, { ...claims, "x-boxyard-site": "s1" })).toMatchObject({ cache: "PASS", body: "answer 1" });
    for (const claim of Object.keys(claims)) expect(asked.at(-1)?.headers[claim]).toBeUndefined();
    expect(await ask(EDGE, page)).toMatchObject({ cache: "MISS", body: "answer 2" });
    expect(await ask(SHELL, page)).toMatchObject({ cache: "PASS", body: "answer 3" });
    expect(await ask(EDGE, page, claims)).toMatchObject({ cache: "HIT", body: "answer 2" });
  });

  test("forgets a page whatever the scheme that a purge names", async () => {
    for (const scheme of [{}, { "x-forwarded-proto": "http" }, { "x-forwarded-proto": "https" }]) {
      await ask(EDGE, page, { "x-forwarded-proto": "https" });
      expect((await ask(EDGE, page, { "x-forwarded-proto": "https" })).cache).toBe("HIT");
      await ask(SHELL, page, scheme, "PURGE");
      expect((await ask(EDGE, page, { "x-forwarded-proto": "https" })).cache).toBe("MISS");
    }
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
    holds = new Holds(join(varnish.folder, "holds"));
    await holds.start();
  });
  afterEach(async () => {
    await holds.letGo("s7");
    holds.stop();
  });

  /** Whether it is still unanswered after a moment in which others are answered. */
  async function waits(reply: Promise<CacheReply>): Promise<boolean> {
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
    expect(asked.filter(({ url }) => url === page)).toHaveLength(0);
  });

  test("lets them go when the time is over, also when the agent was started anew meanwhile", async () => {
    await hold(30, 1_500);
    holds.stop();
    holds = new Holds(join(varnish.folder, "holds"));
    await holds.start();
    expect((await ask(EDGE, page, host)).status).toBe(200);
  });

  test.each(["..", "../domains", "", ".", "a/../held.example"])("is nothing to a visitor who asks for the host %j", async (strange) => {
    await hold(30);
    expect((await ask(EDGE, page, { host: strange })).status).toBeLessThan(500);
  });
});
