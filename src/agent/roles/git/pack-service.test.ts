import { once } from "node:events";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import type { IncomingMessage } from "node:http";
import { Agent, request } from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { execa } from "execa";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { silentLog } from "#base/log.ts";
import { createAuthority, issueCertificate, type KeyPair } from "#control/authority/authority.ts";
import { TrialGitServer } from "#harness/git-server.ts";
import { PackService } from "./pack-service.ts";
import { PackStore } from "./pack-store.ts";

let scratch: string;
let authority: KeyPair;
let server: TrialGitServer;
let packs: PackStore;
let service: PackService;
let first: string;
let second: string;
/** Commits whose builds servers may ask for. */
let needed: readonly string[] = [];
let releaseMegabytes = 2_048;
const agents = new Map<string, Agent>();

beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), "boxyard-packs-"));
  authority = await createAuthority("trial");
  server = await TrialGitServer.start();
  await server.addWebsite("s1");
  await server.addWebsite("s2");
  server.websites[1]?.readers.splice(0, 1, "c2b1");
  server.websites[0] = { ...websiteOf("s1"), builder: "s1x" };
  const copy = await server.workingCopy("site", { "docroot/index.php": "<?php echo 'a long enough file to be a delta';\n".repeat(200) });
  first = (await copy.git("rev-parse", "HEAD")).trim();
  await copy.git("push", "-q", server.repository("s1").path, "main:refs/heads/stored");
  await copy.write({ "docroot/index.php": `${await readFile(join(copy.directory, "docroot/index.php"), "utf8")}// one line more\n` });
  second = await copy.commit("Second");
  await copy.git("push", "-q", server.repository("s1").path, "main:refs/heads/stored");
  packs = new PackStore(join(scratch, "packs"));
  await packs.start();
  service = new PackService({
    enrolment: { caPem: authority.certificatePem, ...(await identityOf("git1", authority)) },
    log: silentLog(),
    packs,
    websites: () => server.websites,
    repositoryOf: ({ id }) => server.repository(id),
    neededOf: () => needed,
    limits: () => ({ releaseMegabytes }),
  });
  await service.listening(0).apply(AbortSignal.timeout(5_000));
  for (const name of ["c1b1", "c2b1", "s1x"]) agents.set(name, agentOf(await identityOf(name, authority)));
  agents.set("stranger", agentOf(await identityOf("c1b1", await createAuthority("other"))));
});

function websiteOf(id: string) {
  const found = server.websites.find((one) => one.id === id);
  if (found === undefined) throw new Error(`no website ${id}`);
  return found;
}

afterAll(async () => {
  for (const agent of agents.values()) agent.destroy();
  await service.stop();
  await packs.stop();
  await server.stop();
  await rm(scratch, { recursive: true, force: true });
});

describe("a server that carries the website", () => {
  test("gets the whole commit, which git takes", async () => {
    const { status, body } = await ask("c1b1", `/pack/s1/${second}`);
    expect(status).toBe(200);
    const box = await box1(body);
    expect((await execa("git", ["--git-dir", box, "rev-list", "--objects", second])).stdout.split("\n")).toHaveLength(8);
  });

  test("gets only the difference to what it has", async () => {
    const whole = await ask("c1b1", `/pack/s1/${first}`);
    const box = await box1(whole.body);
    const { status, body } = await ask("c1b1", `/pack/s1/${second}?have=${first}`);
    expect(status).toBe(200);
    expect(body.length).toBeLessThan(700);
    await execa("git", ["--git-dir", box, "index-pack", "--stdin", "--fix-thin"], { input: body });
    expect((await execa("git", ["--git-dir", box, "show", `${second}:docroot/index.php`])).stdout).toContain("one line more");
  });

  test("gets the whole commit when the git server does not know what it has", async () => {
    const { body } = await ask("c1b1", `/pack/s1/${second}?have=${"1".repeat(40)}`);
    expect(body.equals((await ask("c1b1", `/pack/s1/${second}`)).body)).toBe(true);
  });

  test("shares one computation with all others that ask for the same", async () => {
    const before = packs.size;
    const answers = await Promise.all(Array.from({ length: 8 }, () => ask("c1b1", `/pack/s1/${first}?have=${"2".repeat(40)}`)));
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200]));
    expect(packs.size - before).toBeLessThanOrEqual(1);
  });

  test("finds a pack that was prepared for it", async () => {
    packs.prepare({ repository: server.repository("s1"), commit: second, have: "5".repeat(40) });
    packs.prepare({ repository: server.repository("s1"), commit: "6".repeat(40), have: null });
    const before = packs.size;
    expect((await ask("c1b1", `/pack/s1/${second}?have=${"5".repeat(40)}`)).status).toBe(200);
    expect(packs.size).toBeLessThanOrEqual(before);
    expect((await ask("c1b1", `/pack/s1/${"6".repeat(40)}`)).status).toBe(404);
  });

  test("is told when there is no such commit", async () => {
    expect(await ask("c1b1", `/pack/s1/${"3".repeat(40)}`)).toMatchObject({ status: 404 });
  });

  test.each([
    ["a short name", 400, "/pack/s1/main"],
    ["a path out of the repository", 404, "/pack/../../etc/passwd"],
    ["an option in place of a commit", 400, "/pack/s1/--help"],
    ["a bad `have`", 400, `/pack/s1/${"a".repeat(40)}?have=HEAD`],
    ["another page", 404, "/"],
  ])("that asks for %s is answered %i", async (_what, status, path) => {
    expect((await ask("c1b1", path)).status).toBe(status);
  });
});

describe("nobody else gets anything:", () => {
  test("a server of another cluster, also over a connection that it opens again", async () => {
    for (let round = 0; round < 2; round++) {
      const { status, body } = await ask("c2b1", `/pack/s1/${second}`);
      expect([status, body.toString()]).toEqual([403, "c2b1 does not carry s1\n"]);
    }
    expect((await ask("c1b1", `/pack/s2/${second}`)).status).toBe(403);
    expect((await ask("c1b1", `/pack/s99/${second}`)).status).toBe(403);
  });

  test("a certificate of another authority", async () => {
    await expect(ask("stranger", `/pack/s1/${second}`)).rejects.toThrow();
  });

  test("no certificate", async () => {
    agents.set("nobody", new Agent({ ca: authority.certificatePem }));
    await expect(ask("nobody", `/pack/s1/${second}`)).rejects.toThrow();
  });
});

describe("what was built of a commit", () => {
  /** As a builder does it; gives the build and a pack with it. */
  async function build(of: string, content: string, at = "2029-01-01T00:00:00Z"): Promise<{ commit: string; pack: Buffer }> {
    const clone = await box1((await ask("s1x", `/pack/s1/${of}`)).body);
    const git = async (args: string[], input = "") =>
      (
        await execa("git", ["--git-dir", clone, "-c", "user.name=b", "-c", "user.email=b@example.org", ...args], {
          input,
          env: { GIT_COMMITTER_DATE: at },
        })
      ).stdout;
    const blob = await git(["hash-object", "-w", "--stdin"], content);
    const tree = await git(["mktree"], `${await git(["ls-tree", of])}\n100644 blob ${blob}\tbuilt.txt\n`);
    const commit = await git(["commit-tree", tree, "-p", of, "-m", "built"]);
    const packing = execa("git", ["--git-dir", clone, "pack-objects", "--revs", "--thin", "--stdout", "-q"], {
      input: `${commit}\n^${of}\n`,
      encoding: "buffer",
    });
    return { commit, pack: Buffer.from((await packing).stdout) };
  }

  test("is brought by the website's builder alone, and it must be a build of that commit", async () => {
    const { commit, pack } = await build(first, "one");
    for (const name of ["c1b1", "c2b1"]) expect((await ask(name, `/build/s1/${first}/${commit}`, pack)).status).toBe(403);
    expect((await ask("s1x", `/build/s2/${first}/${commit}`, pack)).status).toBe(403);
    expect((await ask("s1x", `/build/s1/${second}/${commit}`, pack)).status).toBe(422);
    expect((await ask("s1x", `/build/s1/${first}/${"4".repeat(40)}`, pack)).status).toBe(422);
    expect((await ask("s1x", `/build/s1/${first}/${commit}`, Buffer.from("no pack"))).status).toBe(422);
    expect((await ask("c1b1", `/pack/s1/${first}`)).build).toBeUndefined();
  });

  test("is what its servers get from then on; the first one stays, also for other commits of the same tree", async () => {
    const one = await build(second, "one");
    expect((await ask("c1b1", `/pack/s1/${second}`)).build).toBeUndefined();
    expect((await ask("s1x", `/build/s1/${second}/${one.commit}`, one.pack)).status).toBe(201);
    const { body, build: given } = await ask("c1b1", `/pack/s1/${second}`);
    expect(given).toBe(one.commit);
    const box = await box1(body);
    expect((await execa("git", ["--git-dir", box, "show", `${one.commit}:built.txt`])).stdout).toBe("one");
    const repository = server.repository("s1").path;
    const again = (
      await execa("git", [
        "--git-dir",
        repository,
        "-c",
        "user.name=b",
        "-c",
        "user.email=b@example.org",
        "commit-tree",
        `${second}^{tree}`,
        "-p",
        second,
        "-m",
        "again",
      ])
    ).stdout;
    expect((await ask("c1b1", `/pack/s1/${again}`)).build).toBe(one.commit);
    const refused = await execa("git", ["ls-remote", repository]);
    expect(refused.stdout).not.toContain("refs/boxyard");
  });

  test("is refused when it would unpack to more than a release may have", async () => {
    const { commit, pack } = await build(first, "\0".repeat(3 * 1_048_576));
    expect(pack.length).toBeLessThan(100_000);
    releaseMegabytes = 2;
    const { status, body } = await ask("s1x", `/build/s1/${first}/${commit}`, pack);
    releaseMegabytes = 2_048;
    expect([status, body.toString()]).toEqual([
      422,
      expect.stringMatching(/take 3\.0 MB on a disk, and a release may have 2 MB .*\n +3\.0 MB {2}built\.txt/),
    ]);
    expect((await ask("c1b1", `/pack/s1/${first}`)).build).toBeUndefined();
  });

  test("stays while a server may ask for it, as do the newest five; older ones go when another is brought", async () => {
    const repository = server.repository("s1");
    const copy = await server.workingCopy("many", { "docroot/index.php": "<?php" });
    const commits: string[] = [];
    for (let nth = 1; nth <= 8; nth++) {
      await copy.write({ "docroot/index.php": `<?php // ${nth}` });
      commits.push(await copy.commit(`${nth}`));
      await copy.git("push", "-q", "--force", repository.path, "main:refs/heads/many");
    }
    needed = commits.slice(0, 1);
    for (const [index, commit] of commits.entries()) {
      const made = await build(commit, commit, `2030-01-0${index + 1}T00:00:00Z`);
      expect((await ask("s1x", `/build/s1/${commit}/${made.commit}`, made.pack)).status).toBe(201);
    }
    const given = await Promise.all(commits.map(async (commit) => (await ask("c1b1", `/pack/s1/${commit}`)).build !== undefined));
    expect(given).toEqual([true, false, false, true, true, true, true, true]);
  });
});

test("a resumed session is still known by its certificate's name", async () => {
  const { certificatePem: cert, keyPem: key } = await identityOf("c1b1", authority);
  const agent = new Agent({ ca: authority.certificatePem, cert, key, keepAlive: false, maxCachedSessions: 10 });
  agents.set("resuming", agent);
  for (let round = 0; round < 3; round++) expect((await ask("resuming", `/pack/s1/${first}`)).status).toBe(200);
});

async function ask(name: string, path: string, pack?: Buffer): Promise<{ status: number; body: Buffer; build: string | undefined }> {
  const method = pack === undefined ? "GET" : "PUT";
  const asked = request({ method, host: "127.0.0.1", port: service.port() ?? 0, path, agent: agents.get(name), servername: "git1" });
  asked.end(pack);
  const [response] = (await once(asked, "response")) as [IncomingMessage];
  const chunks: Buffer[] = [];
  for await (const chunk of response) chunks.push(chunk as Buffer);
  return { status: response.statusCode ?? 0, body: Buffer.concat(chunks), build: response.headers["x-boxyard-build"]?.toString() };
}

let boxes = 0;
async function box1(pack: Buffer): Promise<string> {
  const path = join(scratch, `box${++boxes}.git`);
  await execa("git", ["init", "-q", "--bare", path]);
  await execa("git", ["--git-dir", path, "index-pack", "--stdin", "--fix-thin"], { input: pack });
  return path;
}

function agentOf({ certificatePem: cert, keyPem: key }: KeyPair): Agent {
  return new Agent({ ca: authority.certificatePem, cert, key, keepAlive: true });
}

/** A server's own certificate. */
function identityOf(name: string, authority: KeyPair): Promise<KeyPair> {
  return issueCertificate(authority, { commonName: name, dnsNames: [name], addresses: ["127.0.0.1"], validDays: 2 });
}
