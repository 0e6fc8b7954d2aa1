import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Repository } from "#harness/repository.ts";
import { inServer, mustInServer } from "#harness/servers.ts";
import { Visitor } from "#harness/visitor.ts";
import { boxyard, boxyardJson, eventually, lastDeployment, listServers, showWebsite, status, type WebsiteJson } from "#harness/yard.ts";

const DOMAIN = "faults.example.test";
let repository: Repository;
let website: WebsiteJson;

beforeAll(async () => {
  website = await boxyardJson<WebsiteJson>("website", "create", "--cluster", "c1", "--domain", DOMAIN);
  repository = await Repository.create();
  await repository.mayPushTo(website.id);
  await pushVersion("one");
});

afterAll(async () => {
  await repository.remove();
  await boxyard("website", "delete", website.id);
});

async function commitVersion(version: string): Promise<string> {
  await repository.write({ "docroot/index.php": `<?php header('Cache-Control: no-store'); echo '${version}';` });
  return repository.commit(version);
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

  test("with no disk space on a box: nothing changes anywhere, and the pusher reads why", async () => {
    const before = await showWebsite(website.id);
    const mount = `/srv/sites/${website.id}/releases`;
    await mustInServer(
      "c1b2",
      "sh",
      "-c",
      `cp -a ${mount} /root/releases.kept && mount -t tmpfs -o size=64k tmpfs ${mount} && cp -a /root/releases.kept/. ${mount}/ 2>/dev/null; true`,
    );
    try {
      await repository.write({ "docroot/large.txt": "x".repeat(2_000_000) });
      const commit = await commitVersion("three");
      const pushed = await repository.push(website.gitUrl);
      expect(pushed.exitCode).not.toBe(0);
      expect(pushed.stderr).toMatch(/remote: .*c1b2.*space/s);
      expect(pushed.stderr).toMatch(/nothing changed/);
      const deployment = await lastDeployment(website.id);
      expect(deployment).toMatchObject({ commit, state: "failed" });
      expect(deployment.servers.every((server) => server.switchedAt === null)).toBe(true);
    } finally {
      await inServer("c1b2", ["umount", mount]);
    }
    expect((await showWebsite(website.id)).servers).toEqual(before.servers);
    expect((await new Visitor(DOMAIN).get("/")).text).toBe("two");
    await eventually("the push to be repeatable", async () => (await repository.push(website.gitUrl)).exitCode === 0);
    expect((await new Visitor(DOMAIN).get("/")).text).toBe("three");
  });

  test("with a box off: nothing changes; the box that was off converges when it is back", async () => {
    const commit = await commitVersion("four");
    await mustInServer("c1b2", "systemctl", "stop", "boxyard-agent");
    try {
      const pushed = await repository.push(website.gitUrl);
      expect(pushed.exitCode).not.toBe(0);
      expect(pushed.stderr).toContain("c1b2");
      expect((await new Visitor(DOMAIN).get("/")).text).toBe("three");
    } finally {
      await mustInServer("c1b2", "systemctl", "start", "boxyard-agent");
    }
    await eventually("c1b2 to be ready", async () => (await listServers()).find((server) => server.name === "c1b2")?.state === "ready");
    const again = await repository.push(website.gitUrl);
    expect(again.exitCode, again.stderr).toBe(0);
    expect((await showWebsite(website.id)).servers.map((server) => server.release)).toEqual([commit, commit, commit]);
  });
});

describe("a cluster", () => {
  test("that is scaled up serves from the new box, with every website's current release; scaled down it keeps serving; and again", async () => {
    for (let round = 0; round < 2; round++) {
      await boxyardJson("cluster", "scale", "c1", "--boxes", "3");
      const { release, servers } = await showWebsite(website.id);
      expect(servers.find((server) => server.name === "c1b3")).toEqual({ name: "c1b3", role: "box", release });
      const asked = ["curl", "-s", "-H", `Host: ${DOMAIN}`, "-H", "X-Forwarded-Proto: https", "http://127.0.0.1/"];
      expect(await mustInServer("c1b3", ...asked)).toBe("four");
      await boxyardJson("cluster", "scale", "c1", "--boxes", "2");
      expect((await listServers()).map((server) => server.name)).not.toContain("c1b3");
      for (let request = 0; request < 6; request++) expect((await new Visitor(DOMAIN).get(`/?${request}`)).text).toBe("four");
    }
  });

  test("serves on while one of its caches is down, and both are used when both are up", async () => {
    await mustInServer("c1v1", "systemctl", "stop", "varnish");
    await eventually("the edge to use the other cache", async () => {
      for (let round = 0; round < 10; round++) if ((await new Visitor(DOMAIN).get(`/?down=${round}`)).status !== 200) return false;
      return true;
    });
    await mustInServer("c1v1", "systemctl", "start", "varnish");
    await eventually("both caches to answer", async () => {
      for (let round = 0; round < 40; round++) await new Visitor(DOMAIN).get(`/?both=${Math.random()}`);
      const requests = async (server: string) =>
        Number((await mustInServer(server, "varnishstat", "-1", "-f", "MAIN.client_req")).trim().split(/\s+/)[1]);
      return (await requests("c1v1")) > 5 && (await requests("c1v2")) > 5;
    });
  });
});

describe("the cloud", () => {
  test("without rights is named in the status with the mend, and websites are served on", async () => {
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
      expect((await new Visitor(DOMAIN).get("/")).text).toBe("four");
    } finally {
      await inServer("control1", ["sh", "-c", "cat /root/control.kept > /etc/boxyard/control.json && systemctl restart boxyard-control"]);
    }
    await eventually("the trouble to be over", async () => (await status()).troubles.length === 0);
  });
});
