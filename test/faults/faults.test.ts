// Takes about two minutes: boxes are made, and disks filled.
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { onSmallDisk, whileFull } from "#harness/faults.ts";
import type { Repository } from "#harness/repository.ts";
import { freeze, inServer, mustInServer, thaw } from "#harness/servers.ts";
import { commitPage, createSite, removeSite } from "#harness/site.ts";
import { Visitor } from "#harness/visitor.ts";
import {
  boxyardJson,
  eventually,
  lastDeployment,
  listServers,
  releaseOnAll,
  showWebsite,
  status,
  type WebsiteJson,
} from "#harness/yard.ts";

const DOMAIN = "faults.example.test";
const ASKED_HERE = ["curl", "-s", "-H", `Host: ${DOMAIN}`, "-H", "X-Forwarded-Proto: https", "http://127.0.0.1/"] as const;
let repository: Repository;
let website: WebsiteJson;

beforeAll(async () => {
  ({ website, repository } = await createSite(DOMAIN));
  await pushVersion("one");
});

afterAll(() => removeSite({ website, repository }));

function commitVersion(version: string): Promise<string> {
  return commitPage(repository, version, { "docroot/box.php": "<?php header('Cache-Control: no-store'); echo php_uname('n');" });
}

async function pushVersion(version: string): Promise<string> {
  const commit = await commitVersion(version);
  const pushed = await repository.push(website.gitUrl);
  expect(pushed.exitCode, pushed.stderr).toBe(0);
  return commit;
}

describe("a deployment", () => {
  test("while the control service is down: the push is recorded and says so, and deploys when control is back", async () => {
    expect((await new Visitor(DOMAIN).get("/")).text).toBe("one");
    const commit = await commitVersion("two");
    await mustInServer("control1", "systemctl", "stop", "boxyard-control");
    try {
      const pushed = await repository.push(website.gitUrl);
      expect(pushed.stderr).toMatch(/recorded as push .* deploys when control is back/);
      expect(pushed.exitCode).not.toBe(0);
      expect((await new Visitor(DOMAIN).get("/")).text).toBe("one");
    } finally {
      await mustInServer("control1", "systemctl", "start", "boxyard-control");
    }
    await eventually("the recorded push to be live", async () => (await showWebsite(website.id)).release === commit);
    await eventually("visitors to see it", async () => (await new Visitor(DOMAIN).get("/")).text === "two");
  });

  test("with no disk space on a box: it gets no visitors, the others go live, and it returns when there is room", async () => {
    await whileFullDisk(["c1b2"], async () => {
      await repository.write({ "docroot/large.txt": "x".repeat(2_000_000) });
      const commit = await commitVersion("three");
      const pushed = await repository.push(website.gitUrl);
      expect(pushed.exitCode, pushed.stderr).toBe(0);
      expect(pushed.stderr).toMatch(/remote: .*going on without c1b2, it is fenced.*space/);
      const deployment = await lastDeployment(website.id);
      expect(deployment).toMatchObject({ commit, state: "live" });
      expect(deployment.servers.map(({ name, isLeftOut }) => `${name} ${isLeftOut}`)).toEqual(["c1b1 false", "c1b2 true", "c1s false"]);
      await expectAllVisitorsSee("three");
    });
    await expectAllVisitorsSee("three");
  });

  test("with no disk space on any box: nothing changes anywhere, and the pusher reads why", async () => {
    const before = await showWebsite(website.id);
    await whileFullDisk(["c1b1", "c1b2"], async () => {
      await repository.write({ "docroot/large.txt": "y".repeat(2_000_000) });
      const commit = await commitVersion("four");
      const pushed = await repository.push(website.gitUrl);
      expect(pushed.exitCode).not.toBe(0);
      expect(pushed.stderr).toMatch(/remote: .*c1b1.*space.*c1b2.*space|remote: .*c1b2.*space.*c1b1.*space/s);
      expect(pushed.stderr).toMatch(/live now: [0-9a-f]{7} on c1b1, c1b2, c1s/);
      expect(pushed.stderr).toMatch(/nothing changed: .*; when that is fixed: git push/);
      const deployment = await lastDeployment(website.id);
      expect(deployment).toMatchObject({ commit, state: "failed" });
      expect(deployment.servers.every((server) => server.switchedAt === null)).toBe(true);
      expect((await showWebsite(website.id)).servers).toEqual(before.servers);
      await expectAllVisitorsSee("three");
    });
    await eventually("the push to be repeatable", async () => (await repository.push(website.gitUrl)).exitCode === 0);
    await expectAllVisitorsSee("four");
  });

  test("with a box that nobody can reach, and that serves on: no visitor meets it until it has caught up", async () => {
    const commit = await commitVersion("five");
    await mustInServer("c1b2", "systemctl", "stop", "boxyard-agent");
    try {
      const pushed = await repository.push(website.gitUrl);
      expect(pushed.exitCode, pushed.stderr).toBe(0);
      expect(pushed.stderr).toContain("without c1b2");
      expect(await mustInServer("c1b2", ...ASKED_HERE)).toBe("four");
      await expectAllVisitorsSee("five");
    } finally {
      await mustInServer("c1b2", "systemctl", "start", "boxyard-agent");
    }
    await hasReturned("c1b2");
    expect(await releaseOnAll(website.id)).toBe(commit);
    expect(await mustInServer("c1b2", ...ASKED_HERE)).toBe("five");
    await eventually("visitors on both boxes", async () => new Set(await boxesOfVisitors()).size === 2);
  });
});

/** While the work goes on, these servers have no room; afterwards they return by themselves. */
function whileFullDisk(servers: readonly string[], work: () => Promise<void>): Promise<void> {
  return onSmallDisk(servers, website.id, async () => {
    await whileFull(servers, website.id, work);
    for (const server of servers) await hasReturned(server);
  });
}

async function expectAllVisitorsSee(version: string): Promise<void> {
  for (let request = 0; request < 12; request++) expect((await new Visitor(DOMAIN).get(`/?${request}`)).text).toBe(version);
}

async function hasReturned(server: string): Promise<void> {
  await eventually(`${server} to return`, async () => (await listServers()).find(({ name }) => name === server)?.state === "ready");
}

/** The box that answered each of some visitors. */
async function boxesOfVisitors(): Promise<string[]> {
  const pages = await Promise.all(Array.from({ length: 12 }, (_, request) => new Visitor(DOMAIN).get(`/box.php?${request}`)));
  return pages.map(({ text }) => text);
}

describe("a cluster", () => {
  test("that is scaled up serves from the new box, with every website's current release; scaled down it keeps serving; and again", async () => {
    for (let round = 0; round < 2; round++) {
      await boxyardJson("cluster", "scale", "c1", "--boxes", "3");
      const { release, servers } = await showWebsite(website.id);
      expect(servers.find((server) => server.name === "c1b3")).toEqual({ name: "c1b3", role: "box", release });
      expect(await mustInServer("c1b3", ...ASKED_HERE)).toBe("five");
      await boxyardJson("cluster", "scale", "c1", "--boxes", "2");
      expect((await listServers()).map((server) => server.name)).not.toContain("c1b3");
      for (let request = 0; request < 6; request++) expect((await new Visitor(DOMAIN).get(`/?${request}`)).text).toBe("five");
    }
  });

  test("lets visitors wait while its caches stand still for some seconds, and none meets an error", async () => {
    const caches = ["c1v1", "c1v2"];
    const met: number[] = [];
    await Promise.all(caches.map(freeze));
    const standing = sleep(5_000).then(() => Promise.all(caches.map(thaw)));
    const visiting: Promise<unknown>[] = [];
    // Until the edge has found them well again.
    for (const end = performance.now() + 9_000; performance.now() < end; await sleep(250))
      visiting.push(new Visitor(DOMAIN).get(`/?${visiting.length}`).then(({ status }) => met.push(status)));
    await Promise.all([standing, ...visiting]);
    expect(met.length).toBeGreaterThan(20);
    expect(new Set(met)).toEqual(new Set([200]));
  });

  test("serves on while one of its caches is down, and both are used when both are up", async () => {
    // Else its agent starts it again.
    await mustInServer("c1v1", "systemctl", "mask", "--runtime", "--now", "varnish");
    await eventually("the edge to use the other cache", async () => {
      for (let round = 0; round < 10; round++) if ((await new Visitor(DOMAIN).get(`/?down=${round}`)).status !== 200) return false;
      return true;
    });
    await mustInServer("c1v1", "systemctl", "unmask", "--runtime", "varnish");
    await eventually("both caches to answer", async () => {
      for (let round = 0; round < 40; round++) await new Visitor(DOMAIN).get(`/?both=${Math.random()}`);
      const requests = async (server: string) =>
        Number((await mustInServer(server, "varnishstat", "-1", "-f", "MAIN.client_req")).trim().split(/\s+/)[1]);
      return (await requests("c1v1")) > 5 && (await requests("c1v2")) > 5;
    });
  });
});

describe("the cloud", () => {
  test("without rights is named in the status with what to do, and websites are served on", async () => {
    await mustInServer(
      "control1",
      "sh",
      "-c",
      "cp /etc/boxyard/control.json /root/control.kept && openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout /root/k.pem -out /root/c.pem -days 2 -subj /CN=stranger 2>/dev/null",
    );
    try {
      await mustInServer(
        "control1",
        "/opt/boxyard/current/node_modules/.bin/node",
        "-e",
        "const fs=require('fs');const p='/etc/boxyard/control.json';const c=JSON.parse(fs.readFileSync(p));c.cloud.certificatePem=fs.readFileSync('/root/c.pem','utf8');c.cloud.keyPem=fs.readFileSync('/root/k.pem','utf8');fs.writeFileSync(p,JSON.stringify(c));",
      );
      await mustInServer("control1", "systemctl", "restart", "boxyard-control");
      const { troubles } = await eventually("control to say so", async () => {
        const answer = await status();
        return answer.troubles.length > 0 && answer;
      });
      expect(troubles.join("\n")).toMatch(/cloud/i);
      expect((await new Visitor(DOMAIN).get("/")).text).toBe("five");
    } finally {
      await inServer("control1", ["sh", "-c", "cat /root/control.kept > /etc/boxyard/control.json && systemctl restart boxyard-control"]);
    }
    await eventually("the trouble to be over", async () => (await status()).troubles.length === 0);
  });
});
