import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { execa } from "execa";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { loginWithManyKeys } from "#harness/sshd.ts";
import { GIT_ENVIRONMENT } from "../../website/releases/git.ts";
import { keyFile, repositoryConfiguration, sshdConfiguration } from "./configuration-files.ts";

const ENTRY = fileURLToPath(new URL("entry.sh", import.meta.url));
let scratch: string;

beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), "boxyard-access-"));
  // What the entry would run, made visible; and the account that it runs as.
  await writeFile(join(scratch, "git"), '#!/bin/sh\necho "git $*, socket $BOXYARD_PUSH_SOCKET, at most $GIT_ALLOC_LIMIT"\n', {
    mode: 0o755,
  });
  await writeFile(join(scratch, "id"), "#!/bin/sh\necho s1\n", { mode: 0o755 });
});
afterAll(() => rm(scratch, { recursive: true, force: true }));

async function login(asked: string | null): Promise<{ exitCode: number; stdout: string; stderr: string }> {
  const env = { PATH: `${scratch}:/usr/bin:/bin`, ...(asked === null ? {} : { SSH_ORIGINAL_COMMAND: asked }) };
  const { exitCode, stdout, stderr } = await execa(ENTRY, [], { env, extendEnv: false, reject: false });
  return { exitCode: exitCode ?? -1, stdout, stderr };
}

describe("a login", () => {
  test.each([
    ["git-receive-pack '/s1'", "receive-pack"],
    ["git-receive-pack 's1'", "receive-pack"],
    ["git-receive-pack '/s1.git'", "receive-pack"],
    ["git-upload-pack '/s1/'", "upload-pack"],
    ["git upload-pack 's1.git'", "upload-pack"],
  ])("that asks %s reaches the website's own repository", async (asked, verb) => {
    expect(await login(asked)).toEqual({
      exitCode: 0,
      stdout: `git ${verb} /srv/git/s1.git, socket /run/boxyard/push/s1.sock, at most ${GIT_ENVIRONMENT.GIT_ALLOC_LIMIT}`,
      stderr: "",
    });
  });

  test.each([
    ["git-receive-pack '/s2'", "this key is for s1, not for s2"],
    ["git-upload-pack 's2.git'", "this key is for s1, not for s2"],
    ["git-receive-pack '/srv/git/s2.git'", "this key is for s1, not for srv/git/s2"],
    ["git-receive-pack '/s1/../s2'", "this key is for s1, not for s1/../s2"],
    ["git-receive-pack '/s1'; id", "this key is for s1, not for id"],
    ["git-receive-pack '/s1' $(touch /tmp/x)", "this key is for s1"],
    ["git-upload-archive '/s1'", "this key is for git push and git fetch of s1, nothing else"],
    ["/bin/sh", "this key is for git push and git fetch of s1, nothing else"],
    ["git-receive-pack '\u001b[31m'", "this key is for s1, not for 31m"],
    ["", "Hello, s1! This key works."],
  ])("that asks %j is refused with the reason", async (asked, message) => {
    const { exitCode, stdout, stderr } = await login(asked);
    expect([exitCode, stdout]).toEqual([1, ""]);
    expect(stderr).toContain(message);
    expect(stderr).not.toContain("\u001b");
  });

  test("without a command gets a friendly line", async () => {
    expect((await login(null)).stderr).toContain("there is no shell here");
  });
});

test("sshd accepts its configuration", async () => {
  const hostKey = join(scratch, "host_key");
  await execa("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-f", hostKey]);
  const path = join(scratch, "sshd_config");
  await writeFile(path, sshdConfiguration({ entry: ENTRY, keys: "/etc/boxyard/keys", hostKey }));
  await mkdir("/run/sshd", { recursive: true });
  const { stdout } = await execa("/usr/sbin/sshd", ["-T", "-f", path, "-C", "user=s1,host=h,addr=10.0.0.9"]);
  expect(stdout).toContain("passwordauthentication no");
  expect(stdout).toContain("disableforwarding yes");
  expect(stdout).toContain("permittty no");
  expect(stdout).toContain(`forcecommand ${ENTRY}`);
});

test("a client whose agent has twelve keys is let in with the last of them", async () => {
  const directory = join(scratch, "twelve");
  await mkdir(directory);
  const configuration = sshdConfiguration({ entry: ENTRY, keys: "/etc/boxyard/keys", hostKey: "/etc/ssh/boxyard_host_key" });
  expect(await loginWithManyKeys(configuration, 12, directory)).toBe("let in");
});

test("git reads a repository's configuration as it is meant", async () => {
  const path = join(scratch, "config");
  await writeFile(path, repositoryConfiguration({ branch: "release/2026.1" }, { releaseMegabytes: 4_096 }));
  const { stdout } = await execa("git", ["config", "--file", path, "--list"]);
  expect(stdout).toContain("receive.procreceiverefs=refs/heads/release/2026.1");
  expect(stdout).toContain("receive.fsckobjects=true");
  expect(stdout).toContain("core.usereplacerefs=false");
  expect(stdout).toContain("receive.maxinputsize=4096m");
  expect(stdout).toMatch(/core\.hookspath=\/.*\/roles\/git\/hooks$/m);
});

test("every key is restricted to what sshd gives by force", () => {
  expect(keyFile({ authorizedKeys: ["ssh-ed25519 AAAA a", "ssh-rsa BBBB b"] })).toBe(
    "restrict ssh-ed25519 AAAA a\nrestrict ssh-rsa BBBB b\n",
  );
});
