// Takes over a minute: pushes, domains and commands that are refused one after the other.
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { execa } from "execa";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Repository } from "#harness/repository.ts";
import { createSite, removeSite } from "#harness/site.ts";
import { Visitor } from "#harness/visitor.ts";
import {
  boxyard,
  boxyardJson,
  eventually,
  lastDeployment,
  listDeployments,
  releaseOnAll,
  showWebsite,
  type WebsiteJson,
} from "#harness/yard.ts";

const DOMAIN = "bad.example.test";
const GOOD = { Boxfile: "version: 2.0\nshared_folders:\n  - docroot/files\n", "docroot/index.php": "<?php echo 'good';" };
let repository: Repository;
let website: WebsiteJson;

beforeAll(async () => {
  ({ website, repository } = await createSite(DOMAIN));
  await repository.write(GOOD);
  await repository.commit("Good");
  const pushed = await repository.push(website.gitUrl);
  expect(pushed.exitCode, pushed.stderr).toBe(0);
  // What is compared before and after must not be on its way still.
  await eventually("the website to be ready", async () => (await showWebsite(website.id)).isReady);
});

afterAll(() => removeSite({ website, repository }));

describe("a Boxfile with an error is refused at push, with its line and what to do, and nothing changes", () => {
  const label = "production";
  test.each([
    ["a tab", "version: 2.0\nshared_folders:\n\t- docroot/files\n", 3],
    ["an unknown key", "version: 2.0\nshared_folder:\n  - docroot/files\n", 2],
    ["a wrong type", "version: 2.0\nshared_folders: docroot/files\n", 2],
    ["a path with ..", "version: 2.0\nshared_folders:\n  - docroot/../../etc\n", 3],
    ["an absolute path", "version: 2.0\nshared_folders:\n  - /etc\n", 3],
    ["a missing environment file", `version: 2.0\nenv_specific_files:\n  docroot/settings.php:\n    ${label}: settings.gone.php\n`, 4],
    ["a label without a file", "version: 2.0\nenv_specific_files:\n  docroot/settings.php:\n    test: index.php\n", 3],
    ["no version", "shared_folders:\n  - docroot/files\n", 1],
  ])("%s", async (_what, boxfile, line) => {
    const before = { website: await showWebsite(website.id), deployments: await listDeployments(website.id), branch: await remoteBranch() };
    await repository.write({ Boxfile: boxfile });
    await repository.commit("Bad Boxfile");
    const pushed = await repository.push(website.gitUrl);
    await repository.git("reset", "-q", "--hard", "HEAD~1");
    expect(pushed.exitCode).not.toBe(0);
    expect(pushed.stderr).toMatch(new RegExp(`remote: .*Boxfile:${line}\\b`));
    expect({
      website: await showWebsite(website.id),
      deployments: await listDeployments(website.id),
      branch: await remoteBranch(),
    }).toEqual(before);
  });
});

describe("a push", () => {
  test("to a website that the key is not for is refused", async () => {
    const other = await Repository.create();
    await other.write(GOOD);
    await other.commit("Not mine");
    const pushed = await other.push(website.gitUrl);
    expect(pushed.exitCode).not.toBe(0);
    expect(pushed.stderr).toContain("Permission denied");
    await other.remove();
  });

  test("with one website's account to another website's repository is refused with the reason", async () => {
    const pushed = await repository.push(website.gitUrl.replace(/\/s\d+$/, "/s1"));
    expect(pushed.exitCode).not.toBe(0);
    expect(pushed.stderr).toMatch(/this key is for/);
  });

  test("of another branch is stored and deploys nothing", async () => {
    const before = await listDeployments(website.id);
    await repository.git("checkout", "-q", "-b", "feature");
    const commit = await repository.commit("Work in progress");
    const pushed = await repository.push(website.gitUrl, "feature");
    expect(pushed.exitCode, pushed.stderr).toBe(0);
    expect(pushed.stderr).toContain("deploys from main");
    expect(await repository.git("ls-remote", website.gitUrl, "refs/heads/feature")).toContain(commit);
    expect(await listDeployments(website.id)).toEqual(before);
    await repository.git("checkout", "-q", "main");
  });

  test("of a release that answers with an error is undone everywhere, and the same push may be repeated", async () => {
    const before = await showWebsite(website.id);
    await repository.write({ "docroot/index.php": "<?php throw new RuntimeException('broken release');" });
    await repository.commit("Broken");
    for (let round = 0; round < 2; round++) {
      const pushed = await repository.push(website.gitUrl);
      expect(pushed.exitCode).not.toBe(0);
      expect(pushed.stderr).toMatch(/remote: .*500/);
      expect((await lastDeployment(website.id)).state).toBe("rolled-back");
      expect(await releaseOnAll(website.id)).toBe(before.release);
    }
    expect((await new Visitor(DOMAIN).get("/")).text).toBe("good");
    await repository.git("reset", "-q", "--hard", "HEAD~1");
  });

  test("with a link that leaves the repository shows nothing of the server", async () => {
    await repository.git("checkout", "-q", "-B", "links");
    await execa("ln", ["-s", "/etc/passwd", join(repository.directory, "docroot/passwd.txt")]);
    await execa("ln", ["-s", "../../../../config", join(repository.directory, "docroot/up")]);
    await repository.write({ "docroot/plain.txt": "plain" });
    await repository.commit("Links");
    const pushed = await repository.push(website.gitUrl);
    expect(pushed.exitCode, pushed.stderr).toBe(0);
    expect(pushed.stderr).toMatch(/remote: warning: docroot\/passwd\.txt/);
    expect((await new Visitor(DOMAIN).get("/plain.txt")).text, "what stands beside it").toBe("plain");
    expect((await new Visitor(DOMAIN).get("/passwd.txt")).text).not.toContain("root:");
    await repository.git("checkout", "-q", "main");
  });
});

describe("the CLI refuses", () => {
  test.each([
    ["a domain that is taken", () => ["website", "create", "--cluster", "c1", "--domain", DOMAIN], /already belongs to website s\d+/],
    ["a malformed domain", () => ["website", "create", "--cluster", "c1", "--domain", "not_a domain"], /domain/],
    ["a domain that would break configuration", () => ["domain", "add", website.id, "a.example.test\n}\nbackend x"], /domain/],
    ["an unknown cluster", () => ["website", "create", "--cluster", "c77", "--domain", "x.example.test"], /c77/],
    ["a text that is no key", () => ["key", "add", website.id, "hello"], /SSH public key|no file/],
    ["a key whose body is broken", () => ["key", "add", website.id, "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAbroken x"], /key/],
    ["deleting a cluster that still has websites", () => ["cluster", "delete", "c1"], /s1/],
    ["scaling to 0", () => ["cluster", "scale", "c1", "--boxes", "0"], /at least one box|1/],
    ["a website that is not there", () => ["key", "list", "s999"], /s999/],
    ["an unknown deployment", () => ["deployment", "show", "99999"], /99999/],
    [
      "a branch that Git does not accept",
      () => ["website", "create", "--cluster", "c1", "--domain", "x.example.test", "--branch", "../x"],
      /branch/,
    ],
  ])("%s", async (_what, args, message) => {
    const result = await boxyard(...args());
    expect(result.exitCode).not.toBe(0);
    expect(result.stderr).toMatch(message);
    expect(result.stdout).toBe("");
  });

  test("a private key, and says which file to give", async () => {
    const scratch = await mkdtemp(join(tmpdir(), "boxyard-key-"));
    await execa("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-f", join(scratch, "id")]);
    const result = await boxyard("key", "add", website.id, join(scratch, "id"));
    expect(result.exitCode).not.toBe(0);
    expect(result.stderr).toContain(".pub");
    expect(result.stderr).not.toContain((await readFile(join(scratch, "id"), "utf8")).split("\n")[1]);
    await rm(scratch, { recursive: true });
  });

  test("a yard that is not there, and says how to make it", async () => {
    const result = await boxyard("--yard", "nowhere", "status");
    expect(result.exitCode).not.toBe(0);
    expect(result.stderr).toContain("bin/up --yard nowhere");
  });
});

describe("domains", () => {
  test("of kind alias serve the website, of kind redirect send visitors to the main one, and go when they are removed", async () => {
    await boxyardJson("domain", "add", website.id, "alias.example.test");
    await boxyardJson("domain", "add", website.id, "old.example.test", "--kind", "redirect");
    expect((await new Visitor("alias.example.test").get("/")).text).toBe("good");
    const redirected = await new Visitor("old.example.test").get("/some/page?a=1");
    expect(redirected.status).toBe(301);
    expect(redirected.headers["location"]).toBe(`https://${DOMAIN}/some/page?a=1`);
    await boxyardJson("domain", "remove", website.id, "alias.example.test");
    await expect(new Visitor("alias.example.test").get("/")).rejects.toThrow(/alt|certificate/i);
  });

  test("are added and removed while connections stay open", async () => {
    const visitor = new Visitor(DOMAIN);
    const met: number[] = [];
    let isOver = false;
    const load = (async () => {
      while (!isOver) met.push((await visitor.get(`/?${Math.random()}`).catch(() => ({ status: 0 }))).status);
    })();
    await boxyardJson("domain", "add", website.id, "live.example.test");
    await boxyardJson("domain", "remove", website.id, "live.example.test");
    isOver = true;
    await load;
    expect(met.length).toBeGreaterThan(10);
    expect(new Set(met)).toEqual(new Set([200]));
  });

  test("that do not exist get a clear answer", async () => {
    const page = await new Visitor(DOMAIN).get("/", { host: "unknown.example.test" });
    expect(page.status).toBe(404);
    expect(page.text).toMatch(/no website/i);
  });
});

async function remoteBranch(): Promise<string> {
  return repository.git("ls-remote", website.gitUrl, "refs/heads/main");
}
