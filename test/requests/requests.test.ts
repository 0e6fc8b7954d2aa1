// Takes over a minute: belongs to the slice "requests".
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { connectToEdge, sendPieces, uploadOverHttp2 } from "#harness/edge-socket.ts";
import { inServer, mustInServer, readInServer } from "#harness/servers.ts";
import { createSite, removeSite, type Site } from "#harness/site.ts";
import { edgeOfYard, type Page, Visitor } from "#harness/visitor.ts";
import { eventually, listServers } from "#harness/yard.ts";

const DOMAIN = "requests.example.test";
const CACHES = ["c1v1", "c1v2"];

const FILES = {
  "docroot/.htaccess": "RewriteEngine On\nRewriteCond %{REQUEST_FILENAME} !-f\nRewriteRule ^ index.php [L]\n",
  "docroot/index.php": "<?php header('Cache-Control: no-store'); echo 'front ', $_SERVER['REQUEST_URI'];",
  // Works for t seconds whatever becomes of its visitor, and leaves a line when it begins and when it ends.
  "docroot/busy.php": `<?php ignore_user_abort(true); set_time_limit(0); header('Cache-Control: no-store');
$say = fn ($what) => file_put_contents('../private/executions', $what . ' ' . $_GET['name'] . "\\n", FILE_APPEND | LOCK_EX);
$say('begin'); for ($end = microtime(true) + (int) $_GET['t']; microtime(true) < $end; usleep(100000)); $say('end'); echo 'done';`,
  "docroot/upload.php": `<?php header('Cache-Control: no-store');
echo json_encode(['files' => array_map(fn ($file) => $file['size'], $_FILES), 'raw' => strlen(file_get_contents('php://input'))]);`,
  "docroot/slow.php": '<?php header(\'Cache-Control: no-store\'); echo "first\\n"; flush(); sleep(5); echo "last\\n";',
  "docroot/headers.php": `<?php foreach ((array) ($_GET['h'] ?? []) as $h) header($h, false);
file_put_contents('../private/executions', 'begin ' . ($_GET['name'] ?? '') . "\\n", FILE_APPEND | LOCK_EX); echo bin2hex(random_bytes(8)), str_repeat(' ', 500);`,
  "docroot/server.php": "<?php header('Cache-Control: ' . ($_GET['cache'] ?? 'no-store')); echo json_encode($_SERVER);",
  "docroot/document.php": `<?php header('Cache-Control: no-store'); header('Content-Type: application/json'); header('ETag: "m"');
if ($_SERVER['REQUEST_METHOD'] === 'PUT') { http_response_code(($_SERVER['HTTP_IF_MATCH'] ?? '') === '"m"' ? 204 : 412); exit; }
echo json_encode(array_fill(0, 200, 'document'));`,
  "docroot/plain.bin": "0123456789".repeat(2_000),
};

let site: Site;
let visitor: Visitor;

beforeAll(async () => {
  site = await createSite(DOMAIN);
  await site.repository.write(FILES);
  await site.repository.commit("all");
  const { exitCode, stderr } = await site.repository.push(site.website.gitUrl);
  expect(exitCode, stderr).toBe(0);
  visitor = new Visitor(DOMAIN);
}, 300_000);
afterAll(() => removeSite(site));

/** What busy.php and headers.php left behind, by the name that a request gave. */
async function executions(name: string): Promise<string[]> {
  const { stdout } = await inServer("c1s", ["cat", `/srv/files/${site.website.id}/private/executions`]);
  return stdout
    .split("\n")
    .filter((line) => line.endsWith(` ${name}`))
    .map((line) => line.split(" ")[0] ?? "");
}

async function addressOf(server: string): Promise<string> {
  return (await listServers()).find(({ name }) => name === server)?.address ?? "";
}

/** The cache that is waiting for a box. */
function cacheAtWork(): Promise<string> {
  return eventually("a cache to wait for a box", async () => {
    for (const cache of CACHES) {
      const counts = await readInServer(cache, "varnishstat", "-1", "-f", "VBE.*.conn");
      if (counts.split("\n").some((line) => /\.conn\s+[1-9]/.test(line))) return cache;
    }
    return null;
  });
}

/** Ends the process that serves; its parent starts another one. */
async function killVarnish(cache: string): Promise<void> {
  await mustInServer(cache, "sh", "-c", "kill -9 $(pgrep -P $(systemctl show -p MainPID --value varnish))");
}

function bodyOf(answer: string): string {
  return answer.slice(answer.indexOf("\r\n\r\n") + 4);
}

describe("a request whose cache dies", () => {
  async function killUnder(name: string, asked: Promise<Page>): Promise<Page> {
    await eventually("the request to begin", async () => (await executions(name)).length > 0);
    await killVarnish(await cacheAtWork());
    const page = await asked;
    await eventually("PHP to have ended", async () => {
      const all = await executions(name);
      return all.filter((one) => one === "end").length === all.filter((one) => one === "begin").length;
    });
    return page;
  }

  test.each(["POST", "DELETE"])("is carried out once when it is %s, and the visitor reads that it failed", async (method) => {
    const asked = visitor.visit(`/busy.php?t=12&name=${method}`, { method, ...(method === "POST" && { body: "a=1" }) });
    expect((await killUnder(method, asked)).status).toBeGreaterThanOrEqual(502);
    expect(await executions(method)).toEqual(["begin", "end"]);
  });

  test("is asked of the other cache when it is a GET", async () => {
    const page = await killUnder("GET", visitor.get("/busy.php?t=12&name=GET"));
    expect([page.status, page.text]).toEqual([200, "done"]);
    expect((await executions("GET")).sort()).toEqual(["begin", "begin", "end", "end"]);
  });
});

test("a GET of 130 s is carried out once, and answered", { timeout: 300_000 }, async () => {
  const socket = await connectToEdge(DOMAIN);
  socket.write(`GET /busy.php?t=130&name=long HTTP/1.1\r\nhost: ${DOMAIN}\r\nconnection: close\r\n\r\n`);
  expect((await socket.toArray()).join("")).toMatch(/^HTTP\/1.1 200.*done/s);
  expect(await executions("long")).toEqual(["begin", "end"]);
});

describe("an upload", () => {
  // Of two bytes Apache has not got enough yet to wait for longer than it does for any body.
  test.each([
    [200_000, 12_000],
    [2, 45_000],
  ])("of %d bytes that pauses for %d ms arrives whole", { timeout: 120_000 }, async (bytes, pauseMs) => {
    const head = `POST /upload.php HTTP/1.1\r\nhost: ${DOMAIN}\r\nconnection: close\r\ncontent-length: ${bytes}\r\n\r\n`;
    const half = Buffer.alloc(bytes / 2, "x");
    const answer = await sendPieces(DOMAIN, [Buffer.concat([Buffer.from(head), half]), half], pauseMs);
    expect(answer).toMatch(/^HTTP\/1.1 200/);
    expect(answer).toContain(`"raw":${bytes}`);
  });

  test("without a length arrives whole, over HTTP/1.1 and over HTTP/2", async () => {
    const size = 20_000_000;
    const head = `POST /upload.php HTTP/1.1\r\nhost: ${DOMAIN}\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n`;
    const chunk = [`${size.toString(16)}\r\n`, Buffer.alloc(size, "x"), "\r\n0\r\n\r\n"];
    expect(await sendPieces(DOMAIN, [head, ...chunk])).toContain(`"raw":${size}`);
    expect(await uploadOverHttp2(DOMAIN, "/upload.php", Buffer.alloc(300_000, "x"))).toContain('"raw":300000');
  });

  test("without a length waits for its end on a box's disk, not in memory", async () => {
    for (const box of ["c1b1", "c1b2"]) {
      const pid = (await mustInServer(box, "systemctl", "show", "-p", "MainPID", "--value", "apache2")).trim();
      expect((await mustInServer(box, "cat", `/proc/${pid}/environ`)).split("\0")).toContain("TMPDIR=/var/tmp");
      const [disk, memory] = await Promise.all(
        ["var/tmp", "tmp"].map((path) => mustInServer(box, "stat", "-f", "-c", "%T", `/proc/${pid}/root/${path}`)),
      );
      expect([disk === "tmpfs", memory]).toEqual([false, "tmpfs"]);
    }
  });
});

test("what PHP has flushed reaches the visitor before the end", async () => {
  for (const encoding of ["identity", "gzip"]) {
    const socket = await connectToEdge(DOMAIN);
    const startedAtMs = performance.now();
    const headers = `host: ${DOMAIN}\r\ncookie: SESSabc=1\r\naccept-encoding: ${encoding}\r\nconnection: close`;
    socket.write(`GET /slow.php HTTP/1.1\r\n${headers}\r\n\r\n`);
    let received = "";
    let bodyAfterMs = 0;
    for await (const chunk of socket) {
      received += chunk;
      if (bodyAfterMs === 0 && bodyOf(received).length > 10 && received.includes("\r\n\r\n")) bodyAfterMs = performance.now() - startedAtMs;
    }
    // PHP says the rest 5 s after what it flushed.
    expect(performance.now() - startedAtMs - bodyAfterMs).toBeGreaterThan(2_000);
    expect(received).toMatch(/^HTTP\/1.1 200/);
  }
});

test("an encoded slash in a path reaches the application", async () => {
  expect((await visitor.get("/server.php/a%2Fb")).status).toBe(200);
  expect((await visitor.get("/a%2Fb")).text).toBe("front /a%2Fb");
});

test("a document that was read compressed can be written with the ETag that came with it, and with no other", async () => {
  const read = await visitor.get("/document.php", { authorization: "Bearer x", "accept-encoding": "gzip" });
  expect(read.headers).toMatchObject({ etag: '"m"', "content-encoding": "gzip" });
  const write = (etag: string) => visitor.visit("/document.php", { method: "PUT", headers: { "if-match": etag }, body: "{}" });
  expect((await write(String(read.headers["etag"]))).status).toBe(204);
  expect((await write('"other"')).status).toBe(412);
});

test("several ranges are answered with the whole, one with its part", async () => {
  for (const headers of [{}, { cookie: "NO_CACHE=1" }] as Record<string, string>[]) {
    const whole = await visitor.get("/plain.bin", { ...headers, range: "bytes=0-1,5-6" });
    expect([whole.status, whole.text.length]).toEqual([200, 20_000]);
    const part = await visitor.get("/plain.bin", { ...headers, range: "bytes=0-4" });
    expect([part.status, part.text]).toEqual([206, "01234"]);
  }
});

describe("a page", () => {
  const page = (...headers: string[]) => `/headers.php?${headers.map((one) => `h[]=${encodeURIComponent(one)}`).join("&")}`;

  test.each([["Expires: 0"], ["Expires: -1"], ["Vary: *", "Cache-Control: max-age=60"], ["Cache-Control: public"]])(
    "that says %s is not stored",
    async (...headers) => {
      const path = page(...headers.filter((one) => typeof one === "string"));
      const [first, second] = [await visitor.get(path), await visitor.get(path)];
      expect([first.status, second.status, second.headers["x-cache"]]).toEqual([200, 200, "PASS"]);
      expect(second.text).not.toBe(first.text);
    },
  );

  test("that has a lifetime is stored", async () => {
    const path = page("Cache-Control: max-age=60");
    const [first, second] = [await visitor.get(path), await visitor.get(path)];
    expect([second.headers["x-cache"], second.text]).toEqual(["HIT", first.text]);
  });

  test("with a Content-Range of its own is answered, and made once", async () => {
    const { status, headers } = await visitor.get(`${page("Content-Range: bytes 0-99/100", "Cache-Control: no-store")}&name=ranged`);
    expect([status, headers["content-range"]]).toEqual([200, undefined]);
    expect(await executions("ranged")).toEqual(["begin"]);
  });
});

describe("a cache", () => {
  /** As code of a website on a box asks a cache. */
  async function fromBox(method: string, path: string, ...headers: string[]): Promise<{ status: string; caches: string[] }> {
    const answers = [];
    for (const cache of CACHES) {
      const given = [`Host: ${DOMAIN}`, ...headers].flatMap((one) => ["-H", one]);
      const url = `http://${await addressOf(cache)}${path}`;
      answers.push(
        await mustInServer("c1b1", "curl", "-s", "-o", "/dev/null", "-w", "%{http_code} %header{x-cache}", "-X", method, ...given, url),
      );
    }
    return { status: answers.map((one) => one.split(" ")[0]).join(" "), caches: answers.map((one) => one.split(" ")[1] ?? "") };
  }

  test.each(["BAN", "URIBAN", "REFRESH", "PURGEALL"])("refuses %s from its cluster's servers; so does the edge", async (method) => {
    expect((await fromBox(method, "/", "Cache-Tags: node:1")).status).toBe("405 405");
    expect(await sendPieces(DOMAIN, [`${method} / HTTP/1.1\r\nhost: ${DOMAIN}\r\nconnection: close\r\n\r\n`])).toMatch(/^HTTP\/1.1 405/);
  });

  test("forgets a page that is purged, with or without a scheme", async () => {
    const path = "/server.php?cache=max-age%3D600&purged";
    for (const scheme of [[], ["X-Forwarded-Proto: https"]]) {
      await visitor.get(path);
      expect((await visitor.get(path)).headers["x-cache"]).toBe("HIT");
      expect((await fromBox("PURGE", path, ...scheme)).status).toBe("200 200");
      expect((await visitor.get(path)).headers["x-cache"]).toBe("MISS");
    }
  });

  test("is not poisoned by what its cluster's servers claim", async () => {
    const path = "/server.php?cache=max-age%3D600&poisoned";
    await fromBox("PURGE", path, "X-Forwarded-Proto: https");
    const asked = await fromBox("GET", path, "X-Forwarded-Proto: https", "X-Forwarded-Host: evil.example", "X-Forwarded-For: 192.0.2.1");
    expect(asked).toEqual({ status: "200 200", caches: ["PASS", "PASS"] });
    const page = await visitor.get(path);
    expect(page.headers["x-cache"]).toBe("MISS");
    expect(JSON.parse(page.text)).toMatchObject({ HTTPS: "on", HTTP_X_FORWARDED_HOST: DOMAIN });
    expect((await visitor.get(path)).headers["x-cache"]).toBe("HIT");
  });
});

describe("what a visitor claims", () => {
  const TRUTH = { HTTPS: "on", HTTP_X_FORWARDED_PROTO: "https", HTTP_X_FORWARDED_HOST: DOMAIN, HTTP_X_FORWARDED_PORT: "443" };
  const CLAIMS = [
    "X-Forwarded-Proto",
    "X-Forwarded-Prefix",
    "X-Real-IP",
    "X-Original-URL",
    "X_Forwarded_Host",
    "Front-End-Https",
    "True-Client-IP",
  ];

  test.each(["X-Forwarded-Proto", "X-Forwarded-Host", "X-Forwarded-For", "X-Boxyard-Site"])(
    "takes nothing away that the edge has set: Connection: close, %s",
    async (name) => {
      const head = `GET /server.php HTTP/1.1\r\nhost: ${DOMAIN}\r\nConnection: close, ${name}\r\n\r\n`;
      const answer = await sendPieces(DOMAIN, [head]);
      expect(answer).toMatch(/^HTTP\/1.1 200/);
      expect(answer).toContain('"HTTPS":"on"');
      expect(answer).toContain(`"HTTP_X_FORWARDED_HOST":"${DOMAIN}"`);
    },
  );

  test.each(["--http1.1", "--http2", "--http3-only"])("reaches no application over %s", async (version) => {
    const { address } = await edgeOfYard();
    const url = ["--resolve", `${DOMAIN}:443:${address}`, `https://${DOMAIN}/server.php`];
    const claims = CLAIMS.flatMap((name) => ["-H", `${name}: claimed`]);
    const said = await mustInServer("c1s", "curl", "-sk", version, "-w", "\n%{http_version}", ...claims, "-H", "X-Other: here", ...url);
    const [body = "", used] = said.split("\n");
    expect(used).toBe({ "--http1.1": "1.1", "--http2": "2", "--http3-only": "3" }[version]);
    expect(JSON.parse(body)).toMatchObject({ ...TRUTH, HTTP_X_OTHER: "here" });
    expect(body).not.toContain("claimed");
  });
});
