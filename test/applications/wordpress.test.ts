// Takes over a minute: WordPress is installed, and a second cluster is made.
import { mkdir } from "node:fs/promises";
import { crc32, deflateSync } from "node:zlib";
import { chromium } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Repository } from "#harness/repository.ts";
import { mustInServer } from "#harness/servers.ts";
import { createSite } from "#harness/site.ts";
import { type Page, Visitor } from "#harness/visitor.ts";
import { addWordpress } from "#harness/wordpress.ts";
import { boxyard, boxyardJson, lastDeployment, showWebsite, status, type WebsiteJson } from "#harness/yard.ts";

const DOMAIN = "blog.example.test";
const BOXES = ["c1b1", "c1b2"];
const admin = new Visitor(DOMAIN);
let repository: Repository;
let website: WebsiteJson;

beforeAll(async () => {
  ({ website, repository } = await createSite(DOMAIN));
  await addWordpress(repository);
});

afterAll(() => repository.remove());

describe("WordPress as Debian packages it", () => {
  test("goes live on every box by git push", async () => {
    const commit = await repository.commit("WordPress");
    const pushed = await repository.push(website.gitUrl);
    expect(pushed.exitCode, pushed.stderr).toBe(0);
    expect(pushed.stderr).toMatch(/remote: .*live/);
    await expectReleaseOnEveryBox(commit);
  });

  test("is installed through the edge, and its administrator can log in", async () => {
    const form = await admin.follow(await admin.get("/wp-admin/install.php?step=1"));
    expect(form.text).toContain('name="weblog_title"');
    const installed = await admin.post("/wp-admin/install.php?step=2", {
      weblog_title: "Boxyard Blog",
      user_name: "owner",
      admin_password: "a-Long-passphrase-7",
      admin_password2: "a-Long-passphrase-7",
      pw_weak: "on",
      admin_email: "owner@example.org",
      Submit: "Install WordPress",
      language: "",
    });
    expect(installed.text).toContain("wp-login.php");
    await admin.get("/wp-login.php");
    const loggedIn = await admin.post("/wp-login.php", {
      log: "owner",
      pwd: "a-Long-passphrase-7",
      "wp-submit": "Log In",
      testcookie: "1",
      redirect_to: `https://${DOMAIN}/wp-admin/`,
    });
    expect(loggedIn.status).toBe(302);
    expect((await admin.get("/wp-admin/")).text).toContain("Dashboard");
  });

  test("shows a published post and an uploaded picture from each box", async () => {
    const nonce = await restNonce();
    const picture = await admin.visit("/index.php?rest_route=/wp/v2/media", {
      method: "POST",
      body: png(),
      headers: { "content-type": "image/png", "content-disposition": 'attachment; filename="dot.png"', "x-wp-nonce": nonce },
    });
    expect(picture.status, picture.text.slice(0, 500)).toBe(201);
    const pictureUrl = new URL((JSON.parse(picture.text) as { source_url: string }).source_url);
    const post = await admin.visit("/index.php?rest_route=/wp/v2/posts", {
      method: "POST",
      body: JSON.stringify({ title: "Hello from two boxes", content: `<img src="${pictureUrl.href}" alt="dot">`, status: "publish" }),
      headers: { "content-type": "application/json", "x-wp-nonce": nonce },
    });
    expect(post.status, post.text.slice(0, 500)).toBe(201);
    const postUrl = new URL((JSON.parse(post.text) as { link: string }).link);
    for (const box of BOXES) {
      expect(await askBox(box, `${postUrl.pathname}${postUrl.search}`)).toContain("Hello from two boxes");
      expect(await askBox(box, pictureUrl.pathname, "--output /dev/null --write-out %{http_code}:%{content_type}")).toBe("200:image/png");
    }
    expect((await new Visitor(DOMAIN).get(pictureUrl.pathname)).status).toBe(200);
  });

  test("is cached for visitors, never for somebody who is logged in", async () => {
    const visitor = new Visitor(DOMAIN);
    await visitor.get("/wp-includes/css/dist/block-library/style.min.css");
    const again = await visitor.get("/wp-includes/css/dist/block-library/style.min.css");
    expect(again.headers["x-cache"]).toBe("HIT");
    expect(Number(again.headers["age"])).toBeGreaterThanOrEqual(0);
    for (let round = 0; round < 3; round++) expect((await admin.get("/")).headers["x-cache"]).not.toBe("HIT");
    expect((await admin.get("/")).text).toContain("wp-admin-bar");
    expect((await visitor.get("/")).text).not.toContain("wp-admin-bar");
  });

  test("serves a pushed change from every box, cached pages included", async () => {
    const path = "/wp-includes/css/dist/block-library/style.min.css";
    const visitor = new Visitor(DOMAIN);
    await visitor.get(path);
    await repository.write({ "docroot/wp-includes/css/dist/block-library/style.min.css": "/* changed by a push */" });
    const commit = await repository.commit("Another style");
    const pushed = await repository.push(website.gitUrl);
    expect(pushed.exitCode, pushed.stderr).toBe(0);
    await expectReleaseOnEveryBox(commit);
    for (let round = 0; round < 6; round++) expect((await visitor.get(path)).text).toBe("/* changed by a push */");
    for (const box of BOXES) expect(await askBox(box, path)).toBe("/* changed by a push */");
  });

  test("cannot write its own code, only its shared folders and temporary directory", async () => {
    const tryWrite = (path: string) => `runuser -u ${website.id} -- touch ${path} 2>/dev/null && echo written || echo refused`;
    for (const [path, expected] of [
      [`/srv/sites/${website.id}/current/docroot/hacked.php`, "refused"],
      [`/srv/sites/${website.id}/current/docroot/wp-content/plugins/hacked.php`, "refused"],
      [`/srv/sites/${website.id}/config/hacked.php`, "refused"],
      [`/srv/sites/${website.id}/current/docroot/wp-content/uploads/mine.txt`, "written"],
      [`/srv/sites/${website.id}/current/private/mine.txt`, "written"],
      [`/srv/sites/${website.id}/current/tmp/mine.txt`, "written"],
    ]) {
      expect((await mustInServer("c1b1", "sh", "-c", tryWrite(String(path)))).trim(), path).toBe(expected);
    }
  });

  test("looks right in a browser", async () => {
    await mkdir("artifacts", { recursive: true });
    const { edge } = await status();
    const browser = await chromium.launch({
      executablePath: "/usr/bin/chromium",
      args: [
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        `--host-resolver-rules=MAP ${DOMAIN} ${edge.address}`,
      ],
    });
    try {
      const page = await browser.newPage({ ignoreHTTPSErrors: true, viewport: { width: 1200, height: 900 } });
      const answer = await page.goto(`https://${DOMAIN}/`);
      expect(answer?.status()).toBe(200);
      expect(await page.title()).toContain("Boxyard Blog");
      expect(await page.textContent("body")).toContain("Hello from two boxes");
      await page.screenshot({ path: "artifacts/wordpress.png", fullPage: true });
    } finally {
      await browser.close();
    }
  });
});

describe("a second website on a second cluster", () => {
  test("goes live there, and no server of the first cluster takes part", async () => {
    const before = { blog: await showWebsite(website.id), deployment: await lastDeployment(website.id) };
    const cluster = await boxyardJson<{ id: string }>("cluster", "create", "--boxes", "1");
    const second = await boxyardJson<WebsiteJson>("website", "create", "--cluster", cluster.id, "--domain", "second.example.test");
    const site = await Repository.create();
    await site.mayPushTo(second.id);
    await site.write({ "docroot/index.php": "<?php echo 'second on ', gethostname();" });
    const commit = await site.commit("Second");
    const pushed = await site.push(second.gitUrl);
    expect(pushed.exitCode, pushed.stderr).toBe(0);
    expect((await new Visitor("second.example.test").get("/")).text).toBe(`second on ${cluster.id}b1`);

    const deployment = await lastDeployment(second.id);
    expect(deployment.servers.map((server) => server.name).sort()).toEqual([`${cluster.id}b1`, `${cluster.id}s`]);
    const isNamed = new RegExp(`\\b${second.id}\\b`);
    const traces = async (server: string): Promise<string> => {
      const look = `ls -d /srv/sites/${second.id} 2>/dev/null; grep -rl ${commit} /srv/sites/*/current/.boxyard-release || true`;
      const journal = await mustInServer(server, "journalctl", "-u", "boxyard-agent", "-o", "cat", "--no-pager");
      return `${await mustInServer(server, "sh", "-c", look)}${isNamed.test(journal) ? " its journal" : ""}`;
    };
    const there = `/srv/sites/${second.id}`;
    expect(await traces(`${cluster.id}b1`), "what a server that takes part shows").toBe(
      `${there}\n${there}/current/.boxyard-release its journal`,
    );
    for (const box of [...BOXES, "c1s"]) expect(await traces(box), box).toBe("");
    expect({ blog: await showWebsite(website.id), deployment: await lastDeployment(website.id) }).toEqual(before);
    await site.remove();
  });

  test("is deleted cleanly, and then its cluster is", async () => {
    const second = (await boxyardJson<WebsiteJson[]>("website", "list")).find((one) =>
      one.domains.some((domain) => domain.name === "second.example.test"),
    );
    const refused = await boxyard("cluster", "delete", second?.cluster ?? "");
    expect(refused.exitCode).toBe(1);
    expect(refused.stderr).toContain(second?.id);
    expect((await boxyard("website", "delete", second?.id ?? "")).exitCode).toBe(0);
    expect((await boxyard("cluster", "delete", second?.cluster ?? "")).exitCode).toBe(0);
    expect((await boxyardJson<{ id: string }[]>("cluster", "list")).map((cluster) => cluster.id)).toEqual(["c1"]);
    expect(
      (await new Visitor("second.example.test").get("/").catch((thrown: Error) => ({ status: 0, text: thrown.message }) as Page)).status,
    ).not.toBe(200);
  });
});

async function expectReleaseOnEveryBox(commit: string): Promise<void> {
  const shown = await showWebsite(website.id);
  expect(shown.release).toBe(commit);
  expect(shown.servers.map((server) => server.release)).toEqual([commit, commit, commit]);
  const seen = new Map<string, string>();
  for (let round = 0; round < 12; round++) {
    const page = await new Visitor(DOMAIN).get(`/who.php?${round}`);
    const { box, release } = JSON.parse(page.text) as { box: string; release: string };
    seen.set(box, release);
  }
  expect(Object.fromEntries(seen)).toEqual({ c1b1: commit, c1b2: commit });
}

/** Asks one box's own web server, past edge and caches. */
async function askBox(box: string, path: string, options = ""): Promise<string> {
  return mustInServer(box, "sh", "-c", `curl -s ${options} -H 'Host: ${DOMAIN}' -H 'X-Forwarded-Proto: https' 'http://127.0.0.1${path}'`);
}

async function restNonce(): Promise<string> {
  const page = await admin.get("/wp-admin/admin-ajax.php?action=rest-nonce");
  expect(page.status).toBe(200);
  return page.text.trim();
}

/** A picture of 16 × 16 pixels in one colour, made as the PNG specification says. */
function png(): Uint8Array {
  const chunk = (type: string, content: Buffer): Buffer => {
    const body = Buffer.concat([Buffer.from(type), content]);
    const whole = Buffer.alloc(body.length + 8);
    whole.writeUInt32BE(content.length);
    body.copy(whole, 4);
    whole.writeUInt32BE(crc32(body), body.length + 4);
    return whole;
  };
  const header = Buffer.from([0, 0, 0, 16, 0, 0, 0, 16, 8, 2, 0, 0, 0]);
  const rows = Buffer.concat(Array.from({ length: 16 }, () => Buffer.concat([Buffer.from([0]), Buffer.alloc(48, 0x7a)])));
  return Buffer.concat([
    Buffer.from("89504e470d0a1a0a", "hex"),
    chunk("IHDR", header),
    chunk("IDAT", deflateSync(rows)),
    chunk("IEND", Buffer.alloc(0)),
  ]);
}
