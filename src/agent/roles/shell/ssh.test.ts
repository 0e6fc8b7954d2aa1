import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { run } from "#base/run.ts";
import { goldenText } from "#harness/golden.ts";
import { checkSshd, effectiveSshd, loginWithManyKeys } from "#harness/sshd.ts";
import { sshFiles } from "./ssh.ts";

const spec: Parameters<typeof sshFiles>[0] = {
  hostKey: "the shell's host key\n",
  websites: [
    { id: "s1", authorizedKeys: ["ssh-ed25519 AAAA ada", "ssh-ed25519 AAAA bob"] },
    { id: "s20", authorizedKeys: [] },
  ],
};

function serverFile(of: typeof spec): string {
  return sshFiles(of).find(({ path }) => path === "/etc/ssh/sshd_config")?.content ?? "";
}

let folder: string;
let hostKey: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "boxyard-sshd-"));
  hostKey = join(folder, "host_key");
  await run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", hostKey]);
});
afterAll(() => rm(folder, { recursive: true, force: true }));

/** Where sshd itself can read it: with a host key that is there. */
async function written(of: typeof spec): Promise<string> {
  const path = join(folder, "sshd_config");
  await writeFile(path, serverFile(of).replace("/etc/ssh/boxyard_host_key", hostKey));
  return path;
}

describe("the shell's sshd", () => {
  test("sshd configuration is as its golden file and passes sshd -t", async () => {
    await expect(goldenText(sshFiles(spec))).toMatchFileSnapshot("golden/sshd");
    await checkSshd(await written(spec));
  });

  test("a shell without websites has a configuration that sshd takes, and lets nobody in", async () => {
    const path = await written({ ...spec, websites: [] });
    await checkSshd(path);
    const settings = await effectiveSshd(path, "s1");
    expect(settings.get("denyusers")).toEqual(["*"]);
    expect(settings.has("allowusers")).toBe(false);
  });

  test("lets in each website's account by key and nobody else, and forwards nothing", async () => {
    const settings = await effectiveSshd(await written(spec), "s1");
    expect(settings.get("allowusers")).toEqual(["s1", "s20"]);
    for (const [name, value] of [
      ["authenticationmethods", "publickey"],
      ["passwordauthentication", "no"],
      ["kbdinteractiveauthentication", "no"],
      ["permitrootlogin", "no"],
      ["permituserenvironment", "no"],
      ["allowtcpforwarding", "no"],
      ["allowagentforwarding", "no"],
      ["allowstreamlocalforwarding", "no"],
      ["x11forwarding", "no"],
      ["permittunnel", "no"],
    ] as const)
      expect(settings.get(name), name).toEqual([value]);
  });

  test("lets in a client whose agent has twelve keys with the last of them", async () => {
    const scratch = await mkdtemp(join(tmpdir(), "boxyard-ssh-"));
    expect(await loginWithManyKeys(serverFile(spec), 12, scratch)).toBe("let in");
    await rm(scratch, { recursive: true, force: true });
  });
});
