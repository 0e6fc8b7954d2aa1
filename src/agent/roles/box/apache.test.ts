import { chmod, mkdir, readdir } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { LONGEST_TEST_FILE, TestBox } from "#harness/apache.ts";
import { testWebsite } from "../../website/releases/test-site.ts";
import { apacheFiles } from "./apache.ts";

const ADDRESS = "127.58.0.10";
const spec = {
  cluster: "c1",
  git: { server: "git1", address: "127.0.0.1", port: 1 },
  caches: ["127.0.0.1"],
  websites: [testWebsite()],
};

const RELEASE = {
  "docroot/index.php": "<?php echo 'front';",
  "docroot/upload.php":
    "<?php for ($n = 0, $in = fopen('php://input', 'r'); !feof($in); $n += strlen(fread($in, 65536))); echo json_encode([$n, $_SERVER['CONTENT_LENGTH'] ?? null]);",
  "docroot/form.php": "<?php echo json_encode([$_POST, array_map(fn ($file) => $file['size'], $_FILES)]);",
  "docroot/slow.php": "<?php echo 'first'; flush(); sleep(3); echo 'last';",
  "docroot/headers.php":
    "<?php http_response_code((int)($_GET['status'] ?? 200)); foreach ($_GET['h'] ?? [] as $h) header($h); echo str_repeat('a', 2000);",
  "docroot/server.php": "<?php echo json_encode($_SERVER);",
  "docroot/text.html": "<p>hello</p>".repeat(100),
  "docroot/listed/.htaccess": "IndexIgnore *\n",
  "docroot/listed/file.txt": "a file",
};

const box = new TestBox(ADDRESS, spec);

beforeAll(async () => {
  await box.write(RELEASE);
  await mkdir(box.temporary);
  await chmod(box.temporary, 0o777);
  await box.start();
}, 120_000);
afterAll(() => box.end());

test("box configuration of Apache is as its golden files and passes apache2 -t", async () => {
  for (const { path, content } of apacheFiles(spec, "c1b1")) await expect(content).toMatchFileSnapshot(`golden${path}`);
  expect((await box.check()).exitCode).toBe(0);
});

test("only a website that never had a release says that nothing is here yet", () => {
  const pageOf = (release: string | null): string => {
    const websites = [{ ...testWebsite(), release }];
    return apacheFiles({ ...spec, websites }, "c1b1")
      .map(({ content }) => content)
      .join("\n");
  };
  expect(pageOf(null)).toContain("Nothing here yet");
  expect(pageOf("a".repeat(40))).toContain("One moment, please");
  expect(pageOf("a".repeat(40))).not.toContain("Nothing here yet");
});

/** Apache removes what it has spooled after it has answered. */
const nothingSpooled = () => vi.waitFor(async () => expect(await readdir(box.temporary)).toHaveLength(0), { timeout: 10_000 });

describe("a body without a length", () => {
  const ask = (path: string, body: readonly (string | Buffer)[], headers = {}) => box.ask({ path, method: "POST", body, headers });

  test.each([0, 5, 300_000, 20_000_000])("arrives whole: %d bytes", async (bytes) => {
    const { status, body } = await ask("/upload.php", bytes === 0 ? [] : [Buffer.alloc(bytes, "x")], { "transfer-encoding": "chunked" });
    expect([status, body]).toEqual([200, JSON.stringify([bytes, String(bytes)])]);
  });

  test("is a form as well", async () => {
    const part = (name: string, more: string, content: string) =>
      `--b\r\ncontent-disposition: form-data; name="${name}"${more}\r\n\r\n${content}\r\n`;
    const body = [part("a", "", "1"), part("f", '; filename="f.bin"', "x".repeat(200_000)), "--b--\r\n"];
    const reply = await ask("/form.php", body, { "content-type": "multipart/form-data; boundary=b" });
    expect(JSON.parse(reply.body)).toEqual([{ a: "1" }, { f: 200_000 }]);
  });

  test("waits for its end on disk, and is gone afterwards", async () => {
    let isOver = false;
    const pieces = ask("/upload.php", [Buffer.alloc(40_000_000, "x")]).finally(() => {
      isOver = true;
    });
    const spooled: string[] = [];
    const watch = (async () => {
      while (!isOver && spooled.length === 0) {
        spooled.push(...(await readdir(box.temporary)));
        await sleep(2);
      }
    })();
    expect((await pieces).status).toBe(200);
    await watch;
    expect(spooled).not.toHaveLength(0);
    await nothingSpooled();
  });

  test("is refused when it is longer than a file may be, and leaves nothing behind; one with a length may be", async () => {
    const piece = Buffer.alloc(2 ** 20, "x");
    const tooLong = Array.from({ length: LONGEST_TEST_FILE / piece.length + 1 }, () => piece);
    const bytes = tooLong.length * piece.length;
    expect((await ask("/upload.php", tooLong)).status).toBe(500);
    await nothingSpooled();
    const { status, body } = await ask("/upload.php", tooLong, { "content-length": bytes });
    expect([status, body]).toEqual([200, JSON.stringify([bytes, String(bytes)])]);
  });
});

test("what PHP has flushed goes on before its end, compressed or not", async () => {
  for (const encoding of ["identity", "gzip"]) {
    const { first, body } = await box.ask({ path: "/slow.php", headers: { "accept-encoding": encoding } });
    // Not a matter of speed: PHP says the rest 3 s later.
    expect(first.afterMs).toBeLessThan(2_900);
    if (encoding === "identity") expect([first.text, body]).toEqual(["first", "firstlast"]);
  }
});

test("a slash that is encoded in a path stays so, and is no 404", async () => {
  const { status, body } = await box.ask({ path: "/server.php/a%2Fb" });
  expect(status).toBe(200);
  expect(JSON.parse(body)).toMatchObject({ REQUEST_URI: "/server.php/a%2Fb" });
});

describe("an ETag", () => {
  const page = (etag: string) => `/headers.php?h[]=Content-Type:+application/json&h[]=ETag:+${encodeURIComponent(etag)}`;

  test.each(['"m"', 'W/"m"'])("of an application is the one that it gave, compressed or not: %s", async (etag) => {
    const plain = await box.ask({ path: page(etag) });
    const compressed = await box.ask({ path: page(etag), headers: { "accept-encoding": "gzip" } });
    expect([plain.headers["content-encoding"], compressed.headers["content-encoding"]]).toEqual([undefined, "gzip"]);
    expect([plain.headers.etag, compressed.headers.etag]).toEqual([etag, etag]);
  });

  test("of a file is answered with 304 when it is sent back, compressed or not", async () => {
    for (const encoding of ["identity", "gzip"]) {
      const { headers } = await box.ask({ path: "/text.html", headers: { "accept-encoding": encoding } });
      const again = { "accept-encoding": encoding, "if-none-match": headers.etag };
      expect((await box.ask({ path: "/text.html", headers: again })).status).toBe(304);
    }
  });
});

describe("Content-Range", () => {
  const page = (status: number) => `/headers.php?status=${status}&h[]=Content-Range:+0-99/100`;

  test.each([200, 201, 403, 404, 500])("is dropped with status %d", async (status) => {
    const reply = await box.ask({ path: page(status) });
    expect(reply.status).toBe(status);
    expect(reply.headers["content-range"]).toBeUndefined();
  });

  test.each([206, 416])("stays with status %d", async (status) => {
    const { headers } = await box.ask({ path: page(status) });
    expect(headers["content-range"]).toBe("0-99/100");
  });

  test("stays with a file of which a part is asked for", async () => {
    const { status, headers } = await box.ask({ path: "/text.html", headers: { range: "bytes=0-9" } });
    expect([status, headers["content-range"]]).toEqual([206, "bytes 0-9/1200"]);
  });
});

test("a header's name with other characters than letters, digits and hyphens is not taken for another one", async () => {
  const headers = { X_Forwarded_Proto: "https", "X.Forwarded.Proto": "https", X_Forwarded_Host: "evil.example", "X-Other": "1" };
  const { body } = await box.ask({ path: "/server.php", headers });
  const server = JSON.parse(body) as Record<string, string>;
  expect(server).toMatchObject({ HTTP_X_OTHER: "1" });
  for (const name of ["HTTPS", "HTTP_X_FORWARDED_PROTO", "HTTP_X_FORWARDED_HOST"]) expect(server[name]).toBeUndefined();
});

test("IndexIgnore in .htaccess is known, and no folder is listed", async () => {
  expect((await box.ask({ path: "/listed/file.txt" })).body).toBe("a file");
  const { status, body } = await box.ask({ path: "/listed/" });
  expect(status).toBe(403);
  expect(body).not.toContain("file.txt");
});
