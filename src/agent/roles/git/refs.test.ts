import { execa } from "execa";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { TrialGitServer, type TrialWorkingCopy } from "#harness/git-server.ts";

let server: TrialGitServer;
let copy: TrialWorkingCopy;
/** The commit that is live. */
let head: string;

beforeAll(async () => {
  server = await TrialGitServer.start();
  await server.addWebsite("s1");
  server.control.onPush = (push) => {
    server.control.say(push, "live", "live");
    void server.desk.settle({ website: push.website, pushId: push.id, isLive: true, reason: null }).catch(() => undefined);
  };
  copy = await server.workingCopy("site", { "docroot/index.php": "<?php echo 1;" });
  await copy.push("s1");
  head = (await copy.git("rev-parse", "HEAD")).trim();
});
afterAll(() => server.stop());

/** Git itself in the website's repository. */
async function inRepository(...args: string[]): Promise<string> {
  return (await execa("git", ["--git-dir", server.repository("s1").path, ...args])).stdout;
}

const refs = () => inRepository("for-each-ref", "--format=%(refname)");

describe("a push", () => {
  test("of what is neither a branch nor a tag is refused, and says what is taken", async () => {
    const others = [`refs/replace/${head}`, "refs/notes/commits", "refs/pull/1/head", "refs/remotes/origin/main", "refs/changes/01/1/1"];
    const pushed = await copy.push("s1", ...others.map((ref) => `main:${ref}`));
    expect(pushed.exitCode).not.toBe(0);
    for (const ref of others) expect(pushed.stderr).toContain(`remote: ${ref}: only branches and tags can be pushed`);
    expect(await refs()).toBe("refs/heads/main");
  });

  test("of a name that means something else is refused", async () => {
    const odd = [
      "heads/-x",
      "heads/HEAD",
      "tags/HEAD",
      "heads/refs/heads/main",
      "heads/@",
      "heads/heads/main",
      "heads/tags/v1",
      "tags/remotes/origin",
      "heads/FETCH_HEAD",
      `heads/${"ab".repeat(20)}`,
      `heads/${"AB".repeat(20)}`,
    ];
    const pushed = await copy.push("s1", ...odd.map((name) => `main:refs/${name}`));
    expect(pushed.exitCode).not.toBe(0);
    for (const name of odd) expect(pushed.stderr).toMatch(new RegExp(`remote: refs/${name}: .* → choose another`));
    expect(await refs()).toBe("refs/heads/main");
  });

  test("of more refs than a push may have is refused whole", async () => {
    const input = Array.from({ length: 5_001 }, (_, nth) => `create refs/many/${nth} ${head}\n`).join("");
    await execa("git", ["update-ref", "--stdin"], { cwd: copy.directory, input });
    const pushed = await copy.push("s1", "refs/many/*:refs/tags/many/*");
    expect(pushed.exitCode).not.toBe(0);
    expect(pushed.stderr).toContain("a push may have 5000 branches and tags, and this one has 5001 → push them in parts");
    expect(await refs()).toBe("refs/heads/main");
  });

  test("leaves the platform's own refs alone", async () => {
    await server.repository("s1").moveRef("refs/boxyard/live", null, head);
    const pushed = await copy.push("s1", "--force", ":refs/boxyard/live", "main:refs/boxyard/builds/x");
    expect(pushed.exitCode).not.toBe(0);
    expect(await refs()).toBe("refs/boxyard/live\nrefs/heads/main");
    await server.repository("s1").moveRef("refs/boxyard/live", head, null);
  });

  test("with one ref that is refused still deploys its branch and stores the rest", async () => {
    const next = await copy.commit("Next");
    const stored = [
      "heads/feature/x-1",
      "heads/feature/NEW_HEAD",
      "heads/überarbeitet",
      "heads/abc",
      `heads/${"ab".repeat(20)}-fix`,
      "tags/v1.0",
    ];
    const pushed = await copy.push("s1", "main", "main:refs/notes/x", ...stored.map((name) => `main:refs/${name}`));
    expect(pushed.exitCode).not.toBe(0);
    expect((await refs()).split("\n").toSorted()).toEqual(["refs/heads/main", ...stored.map((name) => `refs/${name}`)].toSorted());
    expect(server.control.pushes.map(({ commit }) => commit)).toEqual([head, next]);
    await copy.push("s1", ...stored.map((name) => `:refs/${name}`));
    expect(await refs()).toBe("refs/heads/main");
    head = next;
  });

  test("that is to be atomic is refused by the client before anything has moved", async () => {
    await inRepository("update-ref", "refs/heads/taken/x", head);
    const before = server.control.pushes.length;
    await copy.commit("Not pushed");
    const pushed = await copy.push("s1", "--atomic", "main", "main:refs/heads/taken");
    expect(pushed.exitCode).not.toBe(0);
    expect(pushed.stderr).toContain("does not support --atomic push");
    expect([await server.repository("s1").readBranch("main"), server.control.pushes.length]).toEqual([head, before]);
  });
});

test("a replaced commit is read as it was pushed", async () => {
  await copy.write({ "docroot/index.php": "<?php echo 'another';" });
  const other = await copy.commit("Another");
  await copy.push("s1", "main:refs/heads/other");
  await inRepository("update-ref", `refs/replace/${head}`, other);
  const [tree] = await server.repository("s1").describe([`${head}^{tree}`]);
  expect(tree?.id).toBe((await copy.git("rev-parse", `${head}^{tree}`)).trim());
});

test("a repository with a replacement of a commit by itself, from before, takes pushes; and one of them can remove it", async () => {
  await inRepository("update-ref", `refs/replace/${head}`, head);
  const next = await copy.commit("After the replacement");
  const pushed = await copy.push("s1", "main", `:refs/replace/${head}`);
  expect(pushed.exitCode, pushed.stderr).toBe(0);
  expect(await server.repository("s1").readBranch("main")).toBe(next);
  expect(await refs()).not.toContain("replace");
});
