import { once } from "node:events";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { connect as connectHttp2 } from "node:http2";
import { connect } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { until } from "#base/retry.ts";
import { TestEdge } from "#harness/haproxy.ts";
import { renderEdgeConfig } from "./config.ts";
import { NAMED_HEADERS_LUA } from "./visitor-headers.ts";

const [EDGE, ...CACHES] = ["127.57.0.1", "127.57.0.10", "127.57.0.11"];
const DOMAIN = "a.example";
const spec = {
  clusters: [{ id: "c1", caches: CACHES.map((address, nth) => ({ name: `c1v${nth + 1}`, address })) }],
  domains: [
    { name: DOMAIN, cluster: "c1", website: "s1", redirectTo: null },
    { name: "old.example", cluster: "c1", website: "s1", redirectTo: DOMAIN },
  ],
};

const edge = new TestEdge(EDGE as string);
let caches: Server[];
/** What reached a cache, health checks aside. */
let asked: IncomingMessage[] = [];
let answer: (outgoing: ServerResponse) => unknown;

beforeAll(async () => {
  caches = CACHES.map((address) =>
    createServer((incoming, outgoing) => {
      if (incoming.url === "/boxyard-health") return outgoing.end("OK");
      asked.push(incoming);
      return answer(outgoing);
    }).listen(80, address),
  );
  await edge.write(spec);
  await edge.start();
  const isServed = async () => ((await ask(["host: a.example"])).startsWith("HTTP/1.1 200") ? true : null);
  answer = (outgoing) => outgoing.end("OK");
  await until("the edge to know a cache", isServed, { timeoutMs: 30_000 });
}, 120_000);
afterAll(async () => {
  await edge.end();
  for (const cache of caches) cache.close();
});
beforeEach(() => {
  asked = [];
  answer = (outgoing) => outgoing.end("OK");
});

/** A request with these header lines, on a connection of its own. */
function ask(lines: readonly string[], { method = "GET", path = "/page", body = "" } = {}): Promise<string> {
  const all = lines.some((line) => /^connection:/i.test(line)) ? lines : [...lines, "connection: close"];
  return edge.send(`${method} ${path} HTTP/1.1\r\n${all.join("\r\n")}\r\n\r\n${body}`);
}

const HOST = `host: ${DOMAIN}`;

/** What the edge says of each visitor of the domain. */
const TRUTH = {
  host: DOMAIN,
  "x-forwarded-for": "127.0.0.1",
  "x-forwarded-proto": "https",
  "x-forwarded-port": "443",
  "x-forwarded-host": DOMAIN,
  "x-boxyard-site": "s1",
};

test("edge configuration is as its golden file and passes haproxy -c", { timeout: 120_000 }, async () => {
  await expect(renderEdgeConfig(spec)).toMatchFileSnapshot("golden/haproxy.cfg");
  await expect(NAMED_HEADERS_LUA).toMatchFileSnapshot("golden/named-headers.lua");
  expect((await edge.check()).exitCode).toBe(0);
});

test("edge configuration without a cluster passes haproxy -c", { timeout: 120_000 }, async () => {
  const empty = new TestEdge("127.57.0.2");
  await empty.write({ clusters: [], domains: [] });
  expect((await empty.check()).exitCode).toBe(0);
  await empty.end();
});

describe("a header that a visitor names in Connection", () => {
  test.each(Object.keys(TRUTH))("takes nothing away from what the edge says: %s", async (name) => {
    expect(await ask([HOST, `Connection: close, ${name.toUpperCase()}`])).toMatch(/^HTTP\/1.1 200/);
    expect(asked.at(-1)?.headers).toMatchObject(TRUTH);
  });

  test("ends at the edge with Connection itself, wherever it is named; others go on", async () => {
    const named = ["X-One: 1", "Cookie: a=b", "X-Two: 2", "x-one: 3"];
    await ask([HOST, ...named, "X-Other: here", "Connection: X-One ,cookie", "connection: close,,x-TWO"]);
    const headers = asked.at(-1)?.headers;
    for (const name of ["x-one", "x-two", "cookie"]) expect(headers?.[name]).toBeUndefined();
    expect(headers).toMatchObject({ ...TRUTH, "x-other": "here" });
    expect(headers?.["connection"] ?? "keep-alive").toBe("keep-alive");
  });

  test("does not take a body's length away", async () => {
    let body = "";
    answer = async (outgoing) => {
      body = (await asked.at(-1)?.toArray())?.join("") ?? "";
      outgoing.end("OK");
    };
    const lines = [HOST, "Connection: close, content-length, transfer-encoding, host"];
    expect(await ask([...lines, "content-length: 3"], { method: "POST", body: "abc" })).toMatch(/^HTTP\/1.1 200/);
    expect(body).toBe("abc");
    expect(await ask([...lines, "transfer-encoding: chunked"], { method: "POST", body: "3\r\nabc\r\n0\r\n\r\n" })).toMatch(
      /^HTTP\/1.1 200/,
    );
    expect(body).toBe("abc");
  });

  test.each(["Keep-Alive: 300", "Proxy-Connection: keep-alive", "TE: trailers", "Trailer: X-A", "Proxy-Authorization: Basic eA=="])(
    "is not the only one that ends there: %s",
    async (line) => {
      await ask([HOST, line, "X-Other: here"]);
      expect(asked.at(-1)?.headers).toMatchObject({ "x-other": "here" });
      expect(asked.at(-1)?.headers[line.slice(0, line.indexOf(":")).toLowerCase()]).toBeUndefined();
    },
  );

  test("still decides whether the connection stays", async () => {
    expect(await ask([HOST, "connection: close"])).toMatch(/^connection: close/im);
    const two = await edge.send(`GET /1 HTTP/1.1\r\n${HOST}\r\n\r\nGET /2 HTTP/1.1\r\n${HOST}\r\nconnection: close\r\n\r\n`);
    expect(two.match(/HTTP\/1.1 200/g)).toHaveLength(2);
  });
});

/** How proxies and applications call who a visitor is and what he asked for. */
const CLAIMS = [
  ...["X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Forwarded-Port", "X-Forwarded-Prefix", "X-Forwarded-Server"],
  ...["X-Forwarded-Scheme", "X-Forwarded-Ssl", "X-Forwarded-By", "X-Forwarded", "X-Forwarded-Path", "Forwarded", "Forwarded-For"],
  ...["X-Real-IP", "X-Client-IP", "Client-IP", "True-Client-IP", "X-Cluster-Client-IP", "Fastly-Client-IP", "X-Remote-Addr", "X-Remote-IP"],
  ...["X-Originating-IP", "CF-Connecting-IP", "CF-Connecting-IPv6", "CF-Visitor", "CF-IPCountry", "WL-Proxy-Client-IP", "X-ProxyUser-IP"],
  ...[
    "X-Original-URL",
    "X-Original-Host",
    "X-Rewrite-URL",
    "X-Host",
    "X-HTTP-Host-Override",
    "X-Url-Scheme",
    "X-Scheme",
    "Front-End-Https",
  ],
  ...["X-Arr-Ssl", "CloudFront-Forwarded-Proto", "X-Boxyard-Site", "X-Boxyard-Release", "X-Boxyard-Hold", "X-Boxyard-Anything", "Proxy"],
  ...["X-Accel-Mapping", "HTTPS", "X-Azure-ClientIP", "X-Envoy-Original-Path", "Remote-User", "X-Custom-IP-Authorization", "X-URI"],
  ...["X-Vercel-Forwarded-For", "Fly-Forwarded-Proto", "Z-Forwarded-For", "X-Http-Forwarded-For", "X-Proxied-Host", "X-Real-Host"],
  ...["X-Real-Proto", "X-Real-URL", "X-True-IP", "X-Visitor-IP", "X-User-IP", "X-Request-Host", "X-Client-Proto", "X-Http-Scheme"],
  ...["X-Front-End-Https", "User-Agent-Https", "X-LB-Proto", "X-Origin-URL", "X-Virtual-Host", "Host-Override", "X-Waws-Unencoded-Url"],
  ...["X-Base-Url", "Scheme", "X-Is-Https", "X-Secure", "XFF", "X-Auth-Request-Email", "X-Authenticated-User", "X-WebAuth-User"],
  ...["X-Backend-Host", "X-Gateway-Port", "X-Request-Scheme", "X-Src-IP", "X-Remote-User", "X-Request-URI"],
  ...[
    "X-IP-Address",
    "X-Client-IP-Address",
    "X-RemoteAddr",
    "PC-Remote-Addr",
    "X-IP-Trail",
    "X-Imforwards",
    "X-Visitor-Address",
    "X-Fwd-For",
  ],
  ...["X-Vercel-Proxied-For", "X-HTTP-Path-Override", "X-Replaced-Path", "X-MS-Original-URL", "X-Requested-Url", "X-External-Url"],
  ...["X-Real-Path", "X-Request-Path", "Path-Info", "Document-Uri", "X-Frontend-Host", "X-Requested-Host", "X-Public-Host", "X-MS-Host"],
  ...["X-Vhost", "X-Forwared-Host", "WL-Proxy-SSL", "X-Frontend-Proto", "X-Is-SSL", "X-Use-SSL", "X-Terminated-Ssl", "SSL"],
  ...["Surrogate-Capability", "X-Auth-User", "Auth-User", "X-Wsgi-Url-Scheme", "X-Base-Path", "X-Ingress-Path", "X-WebObjects-Server-Url"],
  ...["X-Full-Uri", "X-Path", "X-Cluster-Host", "GeoIP-Country-Code", "X-Geo-Country", "X-Country-Code"],
];

describe("a claim of a visitor", () => {
  const known: Record<string, string | undefined> = TRUTH;

  test.each(CLAIMS)("%s is dropped, however its name is written", async (name) => {
    const other = name.replaceAll("-", "_");
    const written = [name, name.toLowerCase(), name.toUpperCase(), ...(other === name ? [] : [other, name.replace("-", ".")])];
    await ask([HOST, ...written.map((one) => `${one}: claimed`), "X-Other: here"]);
    const headers = asked.at(-1)?.headers ?? {};
    expect(headers).toMatchObject({ ...TRUTH, "x-other": "here" });
    for (const one of written) expect(headers[one.toLowerCase()]).toBe(known[one.toLowerCase()]);
    expect(asked.at(-1)?.rawHeaders).not.toContain("claimed");
  });

  test("is dropped over HTTP/2 as well", async () => {
    const session = connectHttp2(`https://${EDGE}`, { rejectUnauthorized: false });
    const claims = Object.fromEntries([...CLAIMS, "x_forwarded_proto"].map((name) => [name.toLowerCase(), "claimed"]));
    const stream = session.request({ ":path": "/page", ":authority": DOMAIN, ...claims, "x-other": "here" });
    const [{ ":status": status }] = (await once(stream, "response")) as [{ ":status": number }];
    session.destroy();
    expect(status).toBe(200);
    expect(asked.at(-1)?.headers).toMatchObject({ ...TRUTH, "x-other": "here" });
    expect(asked.at(-1)?.rawHeaders).not.toContain("claimed");
  });

  test.each([
    ...["Accept", "Accept-Language", "Authorization", "Content-Type", "Cookie", "If-Match", "If-None-Match", "Origin", "Range", "Referer"],
    ...["Sec-Fetch-Site", "User-Agent", "X-Requested-With", "X-CSRF-Token", "X-WP-Nonce", "Destination", "Depth", "Via", "X-GitHub-Event"],
    ...["Stripe-Signature", "DNT", "Priority", "X-Request-Id", "Traceparent", "X-Hub-Signature-256", "X-Purge-Method", "Idempotency-Key"],
  ])("is not what a visitor says of other things: %s", async (name) => {
    await ask([HOST, `${name}: said`]);
    expect(asked.at(-1)?.headers[name.toLowerCase()]).toBe("said");
  });

  test.each(["X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"])("%s is for a POST alone", async (name) => {
    for (const method of ["GET", "HEAD", "PUT"]) {
      await ask([HOST, `${name}: DELETE`, "content-length: 0"], { method });
      expect(asked.at(-1)).toMatchObject({ method });
      expect(asked.at(-1)?.headers[name.toLowerCase()]).toBeUndefined();
    }
    await ask([HOST, `${name}: DELETE`, "content-length: 0"], { method: "POST" });
    expect(asked.at(-1)?.headers[name.toLowerCase()]).toBe("DELETE");
  });

  test("by a whole URL in place of a path reaches no cache as such, and no redirect leads elsewhere by it", async () => {
    for (const scheme of ["https", "h2c", "svn+ssh", "X-a.b"]) {
      await ask([HOST], { path: `${scheme}://${DOMAIN}/page?x=1` });
      expect(asked.at(-1), scheme).toMatchObject({ url: "/page?x=1", headers: TRUTH });
    }
    expect(await ask(["host: old.example"], { path: "https://old.example/page?x=1" })).toMatch(
      /^location: https:\/\/a\.example\/page\?x=1\r$/im,
    );
  });
});

describe("a method", () => {
  test.each(["PURGE", "BAN", "URIBAN", "REFRESH", "PURGEALL", "TRACE", "TRACK", "CONNECT", "get", "FOO"])(
    "%s is refused, and reaches no cache",
    async (method) => {
      const path = method === "CONNECT" ? `${DOMAIN}:443` : "/page";
      expect(await ask([HOST], { method, path })).toMatch(/^HTTP\/1.1 405/);
      expect(asked).toHaveLength(0);
    },
  );

  test.each(["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND", "MKCOL", "REPORT", "LOCK"])(
    "%s is handed on",
    async (method) => {
      await ask([HOST, "content-length: 0"], { method });
      expect(asked).toMatchObject([{ method }]);
    },
  );

  test("is refused without TLS as well, and a known one is sent to HTTPS", async () => {
    const plain = async (method: string, host = HOST): Promise<string> => {
      const socket = connect({ host: EDGE as string, port: 80 }).setEncoding("utf8");
      socket.write(`${method} /page?x=1 HTTP/1.1\r\n${host}\r\nconnection: close\r\n\r\n`);
      return (await socket.toArray()).join("");
    };
    expect(await plain("BAN")).toMatch(/^HTTP\/1.1 405/);
    const sent = new RegExp(`^HTTP/1.1 301.*^location: https://${DOMAIN}/page\\?x=1\r$`, "ims");
    expect(await plain("GET")).toMatch(sent);
    for (const host of [`${DOMAIN}:80`, `${DOMAIN}:443@evil.example`, `evil.example,${DOMAIN}`, `${DOMAIN.toUpperCase()}.`])
      expect(await plain("GET", `host: ${host}`), host).toMatch(new RegExp(`${sent.source}|^HTTP/1.1 400`, sent.flags));
  });
});

describe("a request whose cache breaks off", () => {
  const breakOff = (outgoing: ServerResponse) => outgoing.destroy();

  test.each(["POST", "PUT", "PATCH", "DELETE", "PROPPATCH"])("is sent once when it is %s, and the visitor hears of it", async (method) => {
    answer = breakOff;
    expect(await ask([HOST, "content-length: 3"], { method, body: "a=1" })).toMatch(/^HTTP\/1.1 50[23]/);
    expect(await ask([HOST, "content-length: 0"], { method })).toMatch(/^HTTP\/1.1 50[23]/);
    await sleep(200);
    expect(asked.map((one) => one.method)).toEqual([method, method]);
  });

  test.each(["GET", "HEAD", "OPTIONS"])("is sent to a cache once more when it is %s", async (method) => {
    answer = (outgoing) => (asked.length < 2 ? breakOff(outgoing) : outgoing.end("OK"));
    expect(await ask([HOST], { method })).toMatch(/^HTTP\/1.1 200/);
    expect(asked.map((one) => one.method)).toEqual([method, method]);
  });

  test("is served by the other cache when the first one refuses the connection, also when it changes something", async () => {
    const [first] = caches as [Server];
    first.closeAllConnections();
    await new Promise((resolve) => first.close(resolve));
    try {
      const answers = await Promise.all([..."12345678"].map((n) => ask([HOST, "content-length: 0"], { method: "POST", path: `/${n}` })));
      for (const one of answers) expect(one).toMatch(/^HTTP\/1.1 200/);
      expect(asked).toHaveLength(8);
    } finally {
      first.listen(80, CACHES[0]);
    }
  });
});
