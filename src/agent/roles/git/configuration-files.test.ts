import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { run } from "#base/run.ts";
import { USUAL_LIMITS } from "#contract/work-settings.ts";
import { goldenText } from "#harness/golden.ts";
import { checkSshd, effectiveSshd } from "#harness/sshd.ts";
import { keyFile, repositoryConfiguration, sshdConfiguration, sshdFiles } from "./configuration-files.ts";

/** The tree lies elsewhere on each machine. */
const ROOT = join(import.meta.dirname, "../../../..");
const anywhere = (text: string): string => text.replaceAll(ROOT, "/opt/boxyard/current");

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "boxyard-sshd-"));
  await run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", join(folder, "host_key")]);
});
afterAll(() => rm(folder, { recursive: true, force: true }));

/** Where sshd itself can read it. */
async function written(): Promise<string> {
  const path = join(folder, "sshd_config");
  await writeFile(path, sshdConfiguration({ entry: "/entry.sh", keys: "/keys", hostKey: join(folder, "host_key") }));
  return path;
}

describe("the git server's sshd", () => {
  test("sshd configuration is as its golden file and passes sshd -t", async () => {
    await expect(anywhere(goldenText(sshdFiles({ hostKey: "the git server's host key" })))).toMatchFileSnapshot("golden/sshd");
    await checkSshd(await written());
  });

  test("has a host key that ends with one line's end, as OpenSSH wants it", () => {
    for (const hostKey of ["key", "key\n"]) expect(sshdFiles({ hostKey })[0]?.content).toBe("key\n");
  });

  test("lets websites' accounts in by key alone, to nothing but Git", async () => {
    const settings = await effectiveSshd(await written(), "s12");
    expect(settings.get("allowusers")).toEqual(["s1*", "s2*", "s3*", "s4*", "s5*", "s6*", "s7*", "s8*", "s9*"]);
    for (const [name, value] of [
      ["authenticationmethods", "publickey"],
      ["passwordauthentication", "no"],
      ["permitrootlogin", "no"],
      ["forcecommand", "/entry.sh"],
      ["disableforwarding", "yes"],
      ["permittty", "no"],
      ["permituserrc", "no"],
      ["permituserenvironment", "no"],
      ["acceptenv", "GIT_PROTOCOL"],
    ] as const)
      expect(settings.get(name), name).toEqual([value]);
  });

  test("gives each key no right beside Git", () => {
    expect(keyFile({ authorizedKeys: ["ssh-ed25519 AAAA ada", "ssh-ed25519 AAAA bob"] })).toBe(
      "restrict ssh-ed25519 AAAA ada\nrestrict ssh-ed25519 AAAA bob\n",
    );
  });
});

describe("a repository", () => {
  test("configuration is as its golden file and Git reads it", async () => {
    const text = repositoryConfiguration({ branch: "main" }, USUAL_LIMITS);
    await expect(anywhere(text)).toMatchFileSnapshot("golden/repository");
    const path = join(folder, "config");
    await writeFile(path, text);
    const read = async (name: string) => (await run(["git", "config", "--file", path, "--get", name])).stdout.trim();
    expect(await read("receive.procReceiveRefs")).toBe("refs/heads/main");
    expect(await read("receive.fsckObjects")).toBe("true");
    expect(await read("transfer.hideRefs")).toBe("refs/boxyard");
  });
});
