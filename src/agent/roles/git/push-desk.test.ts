import { readdir, readFile, symlink, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { until } from "#base/retry.ts";
import type { Push } from "#contract/push.ts";
import { TrialGitServer, type TrialWorkingCopy } from "#harness/git-server.ts";

const GOOD = { Boxfile: "version: 2.0\nshared_folders:\n  - docroot/files\n", "docroot/index.php": "<?php echo 1;" };
let server: TrialGitServer;
let copy: TrialWorkingCopy;

beforeEach(async () => {
  server = await TrialGitServer.start();
  await server.addWebsite("s1");
  copy = await server.workingCopy("site", GOOD);
});
afterEach(() => server.stop());

const branch = (name = "main", website = "s1") => server.repository(website).readBranch(name);
const settle = ({ id: pushId, website }: Push, isLive: boolean, reason: string | null = null) =>
  server.desk.settle({ website, pushId, isLive, reason });
const goesLive = (push: Push): void => {
  server.control.say(push, "staging", "staging on c1b1, c1b2, c1s");
  server.control.say(push, "live", `live: ${push.commit.slice(0, 7)}`);
  void settle(push, true).catch(() => undefined);
};
const fails = (push: Push): void => {
  server.control.say(push, "failed", "failed: c1b2: no space left on device");
  void settle(push, false, "no space").catch(() => undefined);
};
/** The first push that control is handed. */
const handedIn = () => until("the push", async () => server.control.pushes[0] ?? null, { timeoutMs: 5_000, everyMs: 20 });

describe("an accepted push", () => {
  test("is recorded, moves the branch, is handed to control, and the pusher sees each step", async () => {
    server.control.onPush = goesLive;
    const before = new Date().toISOString();
    const pushed = await copy.push("s1");
    expect(pushed.exitCode, pushed.stderr).toBe(0);
    expect(pushed.stderr).toMatch(/remote: +\d+\.\d s {2}staging on c1b1, c1b2, c1s/);
    expect(pushed.stderr).toMatch(/remote: success: live: /);
    const [push] = server.control.pushes;
    expect(push).toMatchObject({ website: "s1", branch: "main", commit: await branch(), previous: null, server: "git1" });
    expect(push?.acceptedAt).toMatch(/\.\d{6}Z$/);
    expect((push?.acceptedAt ?? "") > before).toBe(true);
    const record = JSON.parse(await readFile(join(server.scratch, "pushes", `${push?.id}.json`), "utf8"));
    expect(record).toMatchObject({ push, outcome: { isLive: true } });
  });

  test("may be forced to another history", async () => {
    server.control.onPush = goesLive;
    await copy.push("s1");
    await copy.git("commit", "-q", "--amend", "-m", "Other history");
    expect((await copy.push("s1")).stderr).toContain("rejected");
    const pushed = await copy.push("s1", "--force");
    expect(pushed.exitCode, pushed.stderr).toBe(0);
    expect(await branch()).toBe((await copy.git("rev-parse", "HEAD")).trim());
  });

  test("is found by its branch, by a tag, and by the start of its id; nothing else names a commit", async () => {
    server.control.onPush = goesLive;
    await copy.push("s1");
    const commit = (await branch()) ?? "";
    const repository = server.repository("s1");
    await repository.moveRef("refs/tags/v1", null, commit);
    for (const revision of ["main", "v1", commit, commit.slice(0, 7)]) expect(await repository.findCommit(revision), revision).toBe(commit);
    const tree = (await copy.git("rev-parse", "HEAD^{tree}")).trim();
    for (const revision of ["nope", "HEAD", "main~1", commit.slice(0, 6), "deadbeef", tree])
      expect(await repository.findCommit(revision), revision).toBeNull();
  });

  test("goes on when the pusher goes away", async () => {
    server.control.onPush = () => undefined;
    const request = { ref: "refs/heads/main", old: "0".repeat(40), new: (await copy.git("rev-parse", "HEAD")).trim() };
    await copy.git("push", "-q", server.repository("s1").path, "main:refs/heads/elsewhere");
    const socket = connect(join(server.scratch, "sockets", "s1.sock"));
    socket.write(`${JSON.stringify(request)}\n`);
    const push = await handedIn();
    socket.destroy();
    expect(await settle(push, true)).toEqual({ branch: request.new });
  });
});

describe("a push that does not go live", () => {
  test("ends with an exit status, gives the branch back, and may be repeated", async () => {
    server.control.onPush = goesLive;
    await copy.push("s1");
    const first = await branch();
    server.control.onPush = fails;
    const second = await copy.commit("Second");
    for (let round = 0; round < 2; round++) {
      const pushed = await copy.push("s1");
      expect(pushed.exitCode).not.toBe(0);
      expect(pushed.stderr).toContain("remote rejected");
      expect(pushed.stderr).toContain("c1b2: no space left on device");
      expect(await branch()).toBe(first);
    }
    expect(server.control.pushes.map(({ commit }) => commit)).toEqual([first, second, second]);
  });

  test("of the first release leaves no branch", async () => {
    server.control.onPush = fails;
    expect((await copy.push("s1")).exitCode).not.toBe(0);
    expect(await branch()).toBeNull();
  });

  test("gives the branch back past earlier pushes that did not go live", async () => {
    server.control.onPush = goesLive;
    await copy.push("s1");
    const live = await branch();
    const pushes: Push[] = [];
    server.control.onPush = (push) => void pushes.push(push);
    server.clock.start();
    await copy.commit("Second");
    await copy.push("s1");
    await copy.commit("Third");
    await copy.push("s1");
    const [second, third] = await until("both", async () => (pushes.length === 2 ? pushes : null), { timeoutMs: 5_000, everyMs: 20 });
    if (second === undefined || third === undefined) throw new Error("pushes are missing");
    expect((await settle(second, false, "superseded")).branch).toBe(third.commit);
    expect((await settle(third, false, "failed")).branch).toBe(live);
    expect((await settle(third, false, "failed")).branch).toBe(live);
  });
});

describe("a push that is refused leaves everything as it was", () => {
  test.each([
    [
      "a Boxfile with a tab",
      { Boxfile: "version: 2.0\nshared_folders:\n\t- a\n" },
      /remote: Boxfile:3:1: a tab in the indentation → indent with spaces/,
    ],
    [
      "a file that is missing",
      { Boxfile: "version: 2.0\nenv_specific_files:\n  a.php:\n    production: b.php\n" },
      /remote: Boxfile:4:17: this commit has no/,
    ],
    ["a Boxfile of a megabyte", { Boxfile: `version: 2.0\n${"#".repeat(1_000_000)}` }, /remote: Boxfile:1:1: the Boxfile has \d+ bytes/],
    ["a name with a control character", { "docroot/a\u0007b": "x" }, /remote: docroot\/a.b: a control character/],
  ])("%s", async (_what, files, message) => {
    await copy.write(files);
    await copy.commit("Bad");
    const pushed = await copy.push("s1");
    expect(pushed.exitCode).not.toBe(0);
    expect(pushed.stderr).toMatch(message);
    expect(await branch()).toBeNull();
    expect(server.control.pushes).toEqual([]);
    expect(await readdir(join(server.scratch, "pushes"))).toEqual([]);
  });

  test("boxfile in small letters", async () => {
    await copy.git("mv", "Boxfile", "boxfile");
    await copy.commit("Small");
    expect((await copy.push("s1")).stderr).toContain("git mv boxfile Boxfile");
  });

  test("a submodule", async () => {
    const head = (await copy.git("rev-parse", "HEAD")).trim();
    await copy.git("update-index", "--add", "--cacheinfo", `160000,${head},vendor/thing`);
    await copy.git("commit", "-q", "-m", "Submodule");
    expect((await copy.push("s1")).stderr).toContain("remote: vendor/thing: submodules are not deployed");
  });

  test("deleting the branch that deploys", async () => {
    server.control.onPush = goesLive;
    await copy.push("s1");
    const pushed = await copy.push("s1", ":main");
    expect(pushed.exitCode).not.toBe(0);
    expect(pushed.stderr).toContain("it cannot be deleted");
    expect(await branch()).not.toBeNull();
  });

  test("a branch below the name of the one that deploys", async () => {
    expect((await copy.push("s1", "main:refs/heads/main/x")).stderr).toContain("choose another");
  });
});

describe("a push", () => {
  test("warns of links that leave the repository, and only warns", async () => {
    server.control.onPush = goesLive;
    await symlink("/etc/passwd", join(copy.directory, "docroot/passwd.txt"));
    await symlink("index.php", join(copy.directory, "docroot/home.php"));
    await symlink("/etc/ssl/certs/ca-certificates.crt", join(copy.directory, "docroot/ca.crt"));
    await copy.commit("Links");
    const pushed = await copy.push("s1");
    expect(pushed.exitCode, pushed.stderr).toBe(0);
    expect(pushed.stderr).toContain("remote: warning: docroot/passwd.txt is a link that leaves the repository (→ /etc/passwd)");
    expect(pushed.stderr.match(/warning/g)).toHaveLength(1);
  });

  test("of another branch is stored and deploys nothing", async () => {
    const pushed = await copy.push("s1", "main:refs/heads/feature");
    expect(pushed.exitCode, pushed.stderr).toBe(0);
    expect(pushed.stderr).toContain("remote: feature is stored; s1 deploys from main");
    expect(await branch("feature")).toBe((await copy.git("rev-parse", "HEAD")).trim());
    expect(server.control.pushes).toEqual([]);
    expect((await copy.push("s1", ":feature")).stderr).toContain("remote: feature is deleted");
  });

  test("of several branches deploys the one and stores the others", async () => {
    server.control.onPush = goesLive;
    const pushed = await copy.push("s1", "main", "main:refs/heads/other");
    expect(pushed.exitCode, pushed.stderr).toBe(0);
    expect(await branch("other")).toBe(await branch());
    expect(server.control.pushes).toHaveLength(1);
  });

  test("of one website touches no other", async () => {
    server.control.onPush = goesLive;
    await server.addWebsite("s2", "production");
    await copy.push("s2", "main:production");
    expect(server.control.pushes.map(({ website, branch: to }) => [website, to])).toEqual([["s2", "production"]]);
    expect(await branch()).toBeNull();
  });

  test("while the agent is away is refused, and says so", async () => {
    await server.sockets.stop();
    const pushed = await copy.push("s1");
    expect(pushed.exitCode).not.toBe(0);
    expect(pushed.stderr).toContain("the git server's agent does not answer: nothing changed");
    expect(await branch()).toBeNull();
  });
});

describe("while control is silent, a push", () => {
  beforeEach(() => server.clock.start());

  test("is recorded, says that it waits, keeps its branch, and goes live later", async () => {
    const pushed = await copy.push("s1");
    expect(pushed.exitCode).not.toBe(0);
    const push = await handedIn();
    expect(pushed.stderr).toContain(`recorded as push ${push.id}; it deploys when control is back`);
    expect(await branch()).toBe(push.commit);
    expect(await settle(push, true)).toEqual({ branch: push.commit });
  });

  test("is published when the broker is back, also after the agent began again", async () => {
    server.control.isUp = false;
    const pushed = await copy.push("s1");
    expect(pushed.stderr).toMatch(/recorded as push s1-[0-9a-z]+; it deploys when control is back/);
    expect(server.control.pushes).toEqual([]);
    await server.restart();
    server.control.isUp = true;
    expect((await handedIn()).commit).toBe(await branch());
  });

  test("gives its branch back when it fails later", async () => {
    await copy.push("s1");
    expect(await settle(await handedIn(), false, "c1b1: broken")).toEqual({ branch: null });
  });
});

describe("an agent that ended between recording a push and moving its branch", () => {
  async function leaveRecord(previous: string | null): Promise<string> {
    const commit = (await copy.git("rev-parse", "HEAD")).trim();
    const push = {
      id: "s1-abc",
      website: "s1",
      branch: "main",
      commit,
      previous,
      acceptedAt: "2026-11-23T08:00:00.000001Z",
      server: "git1",
    };
    await writeFile(join(server.scratch, "pushes", "s1-abc.json"), JSON.stringify({ push, publishedAt: null, outcome: null }));
    await copy.git("push", "-q", server.repository("s1").path, "main:refs/heads/stored");
    await server.restart();
    return commit;
  }

  test("moves it when it begins again, and hands the push to control", async () => {
    const commit = await leaveRecord(null);
    await handedIn();
    expect(await branch()).toBe(commit);
  });

  test("drops the push when the branch has gone elsewhere", async () => {
    await leaveRecord("1".repeat(40));
    expect(await readdir(join(server.scratch, "pushes"))).toEqual([]);
    expect([await branch(), server.control.pushes]).toEqual([null, []]);
  });
});

test("of two pushes at the same moment one is taken and the other is told to look again", async () => {
  server.control.onPush = goesLive;
  const other = await server.workingCopy("other", { ...GOOD, "docroot/other.php": "x" });
  const results = await Promise.all([copy.push("s1"), other.push("s1")]);
  expect(results.map(({ exitCode }) => exitCode).toSorted()).toEqual([0, 1]);
  expect(results.find(({ exitCode }) => exitCode === 1)?.stderr).toMatch(/main has moved meanwhile|fetch first/);
  expect(server.control.pushes).toHaveLength(1);
});

test("a socket takes nothing but one request that is whole and right", async () => {
  for (const said of ["\n", "{}\n", "x".repeat(20_000), `${JSON.stringify({ ref: "refs/heads/main", old: "HEAD", new: "--help" })}\n`]) {
    const socket = connect(join(server.scratch, "sockets", "s1.sock"));
    socket.on("error", () => undefined).write(said);
    await new Promise((resolve) => socket.on("close", resolve).resume());
  }
  expect(server.control.pushes).toEqual([]);
});

test("an outcome of a push that nobody knows is refused", async () => {
  await expect(server.desk.settle({ website: "s1", pushId: "s1-none", isLive: true, reason: null })).rejects.toMatchObject({
    code: "git.unknown-push",
  });
});
