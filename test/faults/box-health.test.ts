// Takes over a minute: it waits for servers to boot and to catch up.
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { inServer, mustInServer, powerOff, readInServer } from "#harness/servers.ts";
import { commitPage, createSite, removeSite, type Site } from "#harness/site.ts";
import { Visitor } from "#harness/visitor.ts";
import { eventually, listServers, releaseOnAll } from "#harness/yard.ts";

const DOMAIN = "health.example.test";
const BOX = "c1b2";
const AGENT = "boxyard-agent.service";
let site: Site;

beforeAll(async () => {
  site = await createSite(DOMAIN);
  await push("one");
});

afterAll(async () => {
  await inServer(BOX, ["systemctl", "enable", "--now", AGENT]);
  await removeSite(site);
});

async function push(version: string): Promise<string> {
  const commit = await commitPage(site.repository, version, {
    "docroot/box.php": "<?php header('Cache-Control: no-store'); echo php_uname('n');",
  });
  const pushed = await site.repository.push(site.website.gitUrl);
  expect(pushed.exitCode, pushed.stderr).toBe(0);
  return commit;
}

/** What a cache's probe is told by the box's web server: the status, and the text. */
async function probe(box = BOX): Promise<string> {
  return (
    await readInServer(box, "curl", "-s", "-w", "%{http_code}", "-H", "Host: boxyard-health", "http://127.0.0.1/boxyard-health")
  ).trim();
}

/** The boxes that answer a number of visitors; nobody may meet an error. */
async function boxesOfVisitors(): Promise<string[]> {
  const pages = await Promise.all(Array.from({ length: 24 }, (_, request) => new Visitor(DOMAIN).get(`/box.php?${request}`)));
  for (const { status } of pages) expect(status).toBe(200);
  return [...new Set(pages.map(({ text }) => text))].sort();
}

async function hasReturned(): Promise<void> {
  await eventually(`${BOX} to return`, async () => (await listServers()).find(({ name }) => name === BOX)?.state === "ready");
}

describe("a box", () => {
  test("whose agent is stopped, or has been killed, serves visitors on", async () => {
    expect(await probe()).toBe("ready\n200");
    for (const end of [
      ["stop", AGENT],
      ["kill", "--signal=KILL", AGENT],
    ]) {
      await mustInServer(BOX, "systemctl", ...end);
      expect(await probe()).toBe("ready\n200");
      // Long enough for both caches to have taken it out, had they been told so.
      await new Promise((done) => setTimeout(done, 5_000));
      expect(await boxesOfVisitors()).toEqual(["c1b1", BOX]);
      await mustInServer(BOX, "systemctl", "start", AGENT);
      await hasReturned();
    }
  });

  test("that a deployment went by while no agent ran is fenced, and has caught up when it returns", async () => {
    await mustInServer(BOX, "systemctl", "stop", AGENT);
    const commit = await push("two");
    expect(await probe(), "it knows nothing of it, and is fenced").toBe("ready\n200");
    expect(await boxesOfVisitors()).toEqual(["c1b1"]);
    await mustInServer(BOX, "systemctl", "start", AGENT);
    await hasReturned();
    expect(await releaseOnAll(site.website.id)).toBe(commit);
    await eventually("visitors on both boxes", async () => (await boxesOfVisitors()).length === 2);
  });

  test("that has booted is not ready before its agent has looked, and has converged", async () => {
    await mustInServer(BOX, "systemctl", "disable", AGENT);
    await powerOff(BOX);
    await push("three");
    // Control starts it again.
    await eventually("its web server", async () => (await inServer(BOX, ["systemctl", "is-active", "apache2"])).stdout === "active");
    expect(await probe()).toBe("nobody has looked yet503");
    const flags = "findmnt -N $(systemctl show --property=MainPID --value apache2) -no OPTIONS /srv/files";
    for (const flag of ["nosymfollow", "nosuid", "nodev"]) expect(await mustInServer(BOX, "sh", "-c", flags)).toContain(flag);
    const page = ["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "-H", `Host: ${DOMAIN}`, `http://${BOX}/`];
    expect(await mustInServer("c1v1", ...page)).toBe("503");
    await mustInServer(BOX, "systemctl", "enable", "--now", AGENT);
    await hasReturned();
    expect(await probe()).toBe("ready\n200");
    await eventually("visitors on both boxes", async () => (await boxesOfVisitors()).length === 2);
  });

  test("that serves another release than it should says so, whoever has changed it", async () => {
    const { website } = site;
    const current = `/srv/sites/${website.id}/current`;
    const live = (await mustInServer(BOX, "readlink", current)).trim();
    const other = (await mustInServer(BOX, "readlink", `/srv/sites/${website.id}/previous`)).trim();
    await mustInServer(BOX, "ln", "-sfn", other, current);
    await eventually("it to say so", async () =>
      (await probe()).startsWith(`${website.id} serves ${other.slice("releases/".length)}, not`),
    );
    expect(await probe()).toMatch(/503$/);
    await mustInServer(BOX, "ln", "-sfn", live, current);
    await eventually("it to be ready", async () => (await probe()) === "ready\n200");
  });

  test("that does not know a website says 503, so that the caches ask another one", async () => {
    const page = ["curl", "-s", "-w", "%{http_code}", "-H", "Host: unknown.example.test", "http://127.0.0.1/"];
    expect(await mustInServer(BOX, ...page)).toBe("there is no such website here503");
  });
});
