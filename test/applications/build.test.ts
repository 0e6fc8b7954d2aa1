// Takes about two minutes: every build has a server of its own.
import { once } from "node:events";
import { type AddressInfo, createServer } from "node:net";
import { execa } from "execa";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { getPackagesAsThisMachine, lockPackages } from "#harness/packages.ts";
import type { Repository } from "#harness/repository.ts";
import { inServer, mustInServer, powerOff } from "#harness/servers.ts";
import { commitPage, createSite, removeSite } from "#harness/site.ts";
import { Visitor } from "#harness/visitor.ts";
import { boxyardJson, eventually, lastDeployment, listServers, type WebsiteJson } from "#harness/yard.ts";

const DOMAIN = "build.example.test";
let repository: Repository;
let website: WebsiteJson;

beforeAll(async () => {
  ({ website, repository } = await createSite(DOMAIN));
});

afterAll(() => removeSite({ website, repository }));

/** An application that needs a library, which Composer finds in a folder of the repository. */
const LIBRARY = {
  "packages/greeting/composer.json": JSON.stringify({
    name: "acme/greeting",
    version: "1.0.0",
    autoload: { "psr-4": { "Acme\\": "src" } },
  }),
  "packages/greeting/src/Greeting.php":
    "<?php namespace Acme; final class Greeting { public static function say(): string { return 'hello from a library'; } }",
  "composer.json": JSON.stringify({
    name: "acme/site",
    repositories: [{ type: "path", url: "packages/*", options: { symlink: false } }, { "packagist.org": false }],
    require: { "acme/greeting": "1.0.0" },
  }),
  ".gitignore": "vendor\n",
  "docroot/index.php":
    "<?php header('Cache-Control: no-store'); require __DIR__ . '/../vendor/autoload.php'; echo Acme\\Greeting::say(), ' ', trim(file_get_contents(__DIR__ . '/../stamp'));",
};

/** A website whose page is made by a script of npm, with a package that npm finds in a folder of the repository. */
const NPM_SITE = {
  Boxfile: "version: 3\nbuild:\n  - npm ci\n  - npm run build\n",
  ".gitignore": "node_modules\ndocroot\n",
  "packages/greeting/package.json": JSON.stringify({ name: "greeting", version: "1.0.0", main: "index.js" }),
  "packages/greeting/index.js": "module.exports = 'hello from npm';",
  "package.json": JSON.stringify({
    name: "site",
    version: "1.0.0",
    scripts: { build: "node build.js" },
    dependencies: { greeting: "file:packages/greeting" },
  }),
  "package-lock.json": JSON.stringify({
    name: "site",
    version: "1.0.0",
    lockfileVersion: 3,
    packages: {
      "": { name: "site", version: "1.0.0", dependencies: { greeting: "file:packages/greeting" } },
      "node_modules/greeting": { resolved: "packages/greeting", link: true },
      "packages/greeting": { name: "greeting", version: "1.0.0" },
    },
  }),
  "build.js": [
    "const { mkdirSync, writeFileSync } = require('node:fs');",
    "mkdirSync('docroot', { recursive: true });",
    "writeFileSync('docroot/index.html', require('greeting') + ', built by ' + process.release.name);",
  ].join("\n"),
};

async function push(build: readonly string[], files: Readonly<Record<string, string>> = {}) {
  const boxfile = `version: 3\nbuild:\n${build.map((command) => `  - ${JSON.stringify(command)}\n`).join("")}`;
  await repository.write({ ...LIBRARY, ...files, Boxfile: boxfile });
  await repository.commit("change");
  return repository.push(website.gitUrl);
}

async function builders(): Promise<string[]> {
  return (await listServers()).filter(({ roles }) => roles.includes("builder")).map(({ name }) => name);
}

describe("a release that is built", () => {
  const BUILD = ["composer install --no-dev --no-progress", "date +%s%N > stamp", "echo https://anna:secret@example.org/"];

  test("is built once, with Composer, in a server that is gone afterwards, and what came of it serves on every box", async () => {
    const { exitCode, stderr } = await push(BUILD);
    expect(exitCode, stderr).toBe(0);
    for (const line of [/building [0-9a-f]{7}/, / {2}\$ composer install/, /Installing acme\/greeting/, /built in /, /success: live: /])
      expect(stderr).toMatch(line);
    expect(stderr).toContain("https://***@example.org/");
    const pages = await Promise.all(Array.from({ length: 8 }, (_, n) => new Visitor(DOMAIN).get(`/?${n}`)));
    expect(new Set(pages.map(({ text }) => text)).size).toBe(1);
    expect(pages[0]?.text).toMatch(/^hello from a library \d+$/);
    await eventually("the builder to be gone", async () => (await builders()).length === 0);
  });

  test("is built with npm, from a folder of the repository", async () => {
    const site = await createSite("npm.example.test");
    try {
      await site.repository.write(NPM_SITE);
      await site.repository.commit("change");
      const { exitCode, stderr } = await site.repository.push(site.website.gitUrl);
      expect(exitCode, stderr).toBe(0);
      expect(stderr).toMatch(/ {2}added 1 package/);
      expect((await new Visitor("npm.example.test").get("/")).text).toBe("hello from npm, built by node");
    } finally {
      await removeSite(site);
    }
  });

  test("is built with packages of npm's registry, which the operator says how to reach, and which are kept for the next build", async () => {
    await getPackagesAsThisMachine();
    const site = await createSite("registry.example.test");
    const dependencies = { "is-number": "7.0.0" };
    try {
      await site.repository.write({
        Boxfile: "version: 3\nbuild:\n  - npm ci\n  - mkdir docroot\n  - node -p 'require(\"is-number\")(7)' > docroot/index.html\n",
        "package.json": JSON.stringify({ name: "site", version: "1.0.0", dependencies }),
      });
      await lockPackages(site.repository.directory);
      await site.repository.commit("change");
      const { exitCode, stderr } = await site.repository.push(site.website.gitUrl);
      expect(exitCode, stderr).toBe(0);
      expect((await new Visitor("registry.example.test").get("/")).text).toBe("true\n");
      await boxyardJson("packages", "set", "--npmrc", "/dev/null", "--authorities", "/dev/null");
      await site.repository.write({ Boxfile: "version: 3\nbuild: [npm ci --offline, mkdir docroot, echo kept > docroot/index.html]\n" });
      await site.repository.commit("change");
      const again = await site.repository.push(site.website.gitUrl);
      expect(again.exitCode, again.stderr).toBe(0);
      expect((await new Visitor("registry.example.test").get("/")).text).toBe("kept\n");
    } finally {
      await removeSite(site);
    }
  });

  test("is not built again when the same tree is deployed", async () => {
    const before = (await new Visitor(DOMAIN).get("/")).text;
    await repository.commit("nothing has changed");
    const { exitCode, stderr } = await repository.push(website.gitUrl);
    expect(exitCode, stderr).toBe(0);
    expect(stderr).not.toContain("building");
    expect((await new Visitor(DOMAIN).get("/")).text).toBe(before);
  });

  test("has no access to the yard: neither to its servers nor to what they know", async () => {
    const servers = await listServers();
    const ports: Record<string, number> = { db1: 3306, git1: 8440, control1: 8443, c1s: 22 };
    const probes = servers.map(({ name, address }) => ({
      name,
      reach: `timeout 3 bash -c '</dev/tcp/${address}/${ports[name] ?? 80}' 2>/dev/null`,
    }));
    for (const { name, reach } of probes) await execa("bash", ["-c", `${reach} || { echo ${name} answers nobody >&2; exit 1; }`]);
    const targets = probes.map(({ name, reach }) => `${reach} && echo reached ${name} && exit 1 || true`);
    const { exitCode, stderr } = await push([
      ...BUILD,
      ...targets.slice(0, 12),
      'test "$(id -un)" = builder',
      "if cat /etc/boxyard/agent.json; then exit 1; fi",
      "if env | grep -i password; then exit 1; fi",
    ]);
    expect(exitCode, stderr).toBe(0);
    expect(stderr).not.toMatch(/reached \w+\s*$/m);
  });

  test("has no access to what may be the operator's: the host, its other yards and what lies beside them", async () => {
    // An address of this machine as another yard's gateway has one, or an operator's network.
    const address = "172.31.254.1";
    const server = createServer((socket) => socket.end()).listen(0, "0.0.0.0");
    await once(server, "listening");
    const { port } = server.address() as AddressInfo;
    await execa("ip", ["address", "add", `${address}/32`, "dev", "lo"]);
    try {
      const reach = `timeout 3 bash -c '</dev/tcp/${address}/${port}'`;
      await mustInServer("c1s", "bash", "-c", reach);
      const { exitCode, stderr } = await push([...BUILD, `if ${reach}; then echo it is open; exit 1; fi`]);
      expect(exitCode, stderr).toBe(0);
    } finally {
      await execa("ip", ["address", "delete", `${address}/32`, "dev", "lo"]);
      server.close();
    }
  });

  test("that fails changes nothing, and the pusher reads what it said", async () => {
    const before = (await new Visitor(DOMAIN).get("/")).text;
    const { exitCode, stderr } = await push(["echo half way", "ls /no/such/file"]);
    expect(exitCode).not.toBe(0);
    expect(stderr).toMatch(/ {2}half way/);
    expect(stderr).toContain("No such file or directory");
    expect(stderr).toMatch(/error: failed: cannot build [0-9a-f]{7}: it ended with exit status 2; nothing changed/);
    expect(await lastDeployment(website.id)).toMatchObject({ state: "failed" });
    expect((await new Visitor(DOMAIN).get("/")).text).toBe(before);
    await eventually("the builder to be gone", async () => (await builders()).length === 0);
  });

  test.each([
    ["control is killed", async () => void (await mustInServer("control1", "systemctl", "kill", "--signal=KILL", "boxyard-control"))],
    ["its server's agent is restarted", async () => void (await mustInServer(`${website.id}x`, "systemctl", "restart", "boxyard-agent"))],
    ["its server loses its power", () => powerOff(`${website.id}x`)],
  ])("goes live although %s in the middle of it", async (what, harm) => {
    const pushing = push(["sleep 6", ...BUILD], { note: what });
    await eventually("the build to run", async () => {
      const { stdout } = await inServer(`${website.id}x`, ["systemctl", "list-units", "--no-legend", "--state=running", "boxyard-build-*"]);
      return stdout.trim() !== "";
    });
    await harm();
    const { exitCode, stderr } = await pushing;
    expect(exitCode, stderr).toBe(0);
    expect((await new Visitor(DOMAIN).get("/")).text).toMatch(/^hello from a library \d+$/);
    await eventually("the builder to be gone", async () => (await builders()).length === 0);
  });

  test("that takes more memory than its share is ended, and nothing else suffers", async () => {
    const { exitCode, stderr } = await push(["php -d memory_limit=-1 -r '$all = []; for (;;) $all[] = random_bytes(1 << 20);'"]);
    expect(exitCode).not.toBe(0);
    expect(stderr).toMatch(/error: failed: cannot build [0-9a-f]{7}: it (was ended by a signal|ended with exit status 137)/);
  });

  test("that takes longer than its Boxfile says is ended, and none may ask for longer than the operator allows", async () => {
    await repository.write({ Boxfile: "version: 3\nbuild: {commands: sleep 60, seconds: 2}\n" });
    await repository.commit("slow");
    const slow = await repository.push(website.gitUrl);
    expect(slow.exitCode).not.toBe(0);
    expect(slow.stderr).toMatch(/cannot build [0-9a-f]{7}: it took too long and was ended/);
    await boxyardJson("limits", "set", "--build-seconds", "60");
    try {
      await repository.write({ Boxfile: "version: 3\nbuild: {commands: make, seconds: 61}\n" });
      await repository.commit("slower");
      const refused = await eventually("the git server to know the limit", async () => {
        const pushed = await repository.push(website.gitUrl);
        return pushed.stderr.includes("seconds must be") && pushed;
      });
      expect(refused.stderr).toContain("Boxfile:2:34: seconds must be a whole number → write one from 1 to 60");
    } finally {
      await boxyardJson("limits", "set", "--build-seconds", "3600");
    }
  });

  test("keeps what it was told to keep for the next build, and nothing else", async () => {
    expect((await push(["echo kept > ~/kept", "touch /tmp/not-kept", ...BUILD], { note: "1" })).exitCode).toBe(0);
    const { exitCode, stderr } = await push(["cat ~/kept", "test ! -e /tmp/not-kept", ...BUILD], { note: "2" });
    expect(exitCode, stderr).toBe(0);
    expect(stderr).toMatch(/ {2}kept/);
    await commitPage(repository, "plain", { Boxfile: "version: 3\n" });
    expect((await repository.push(website.gitUrl)).exitCode).toBe(0);
    expect((await new Visitor(DOMAIN).get("/")).text).toBe("plain");
  });
});
