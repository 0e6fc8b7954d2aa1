import { spawn } from "node:child_process";
import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { run } from "#base/run.ts";
import { flagsMismatch, mountFlags, mountFlagsSeenBy } from "./mount.ts";

const signal = new AbortController().signal;

describe("the flags of a mount", () => {
  const want = { path: "/srv/files", flags: ["nosymfollow", "nosuid"] };
  const line = (path: string, options: string): string => `36 35 0:33 / ${path} ${options} - btrfs /dev/loop0 rw,nosymfollow\n`;

  test.each([
    ["are there", line("/srv/files", "rw,nosuid,relatime,nosymfollow"), null],
    ["are not there, though the file system has them", line("/srv/files", "rw,relatime"), "lacks nosymfollow, nosuid"],
    ["are there but for one", line("/srv/files", "rw,nosymfollow"), "lacks nosuid"],
    ["are another mount's", line("/srv/files/s1", "rw,nosuid,nosymfollow"), "is not mounted"],
    [
      "were those of what was mounted before",
      line("/srv/files", "rw,nosuid,nosymfollow") + line("/srv/files", "rw"),
      "lacks nosymfollow, nosuid",
    ],
  ])("%s", (_, mountinfo, expected) => {
    expect(flagsMismatch(want, mountinfo)).toBe(expected);
  });
});

describe("a mount in which no links are followed", () => {
  let scratch: string;
  let path: string;

  beforeEach(async () => {
    scratch = await mkdtemp(join(tmpdir(), "boxyard-mount-"));
    path = join(scratch, "files");
    await mkdir(path);
    await run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", path]);
    await writeFile(join(scratch, "secret"), "secret");
    await symlink(join(scratch, "secret"), join(path, "link"));
  });
  afterEach(async () => {
    await run(["umount", path]);
    await rm(scratch, { recursive: true });
  });

  test("follows none, and keeps what else it is", async () => {
    const mount = mountFlags({ path, flags: ["nosymfollow", "nosuid", "nodev"] });
    expect(await readFile(join(path, "link"), "utf8")).toBe("secret");
    expect(await mount.mismatch(signal)).toBe("lacks nosymfollow, nosuid, nodev");
    await mount.apply(signal);
    expect(await mount.mismatch(signal)).toBeNull();
    await expect(readFile(join(path, "link"))).rejects.toMatchObject({ code: "ELOOP" });
    await writeFile(join(path, "file"), "still writable");
  });

  test("is one also for a service that has begun before, in a mount name space of its own", async () => {
    const want = { path, flags: ["nosymfollow"] };
    const service = spawn("unshare", ["--mount", "--propagation=slave", "sleep", "60"], { stdio: "ignore" });
    const pid = service.pid ?? 0;
    const follow = async (): Promise<string> => readFile(`/proc/${pid}/root${path}/link`, "utf8").catch(({ code }) => code);
    try {
      while ((await readFile(`/proc/${pid}/comm`, "utf8")) !== "sleep\n") await sleep(5);
      await mountFlags(want).apply(signal);
      const seen = mountFlagsSeenBy("trial.service", want, async () => pid);
      expect(await seen.mismatch(signal)).toBe("lacks nosymfollow");
      expect(await follow()).toBe("secret");
      await seen.apply(signal);
      expect(await seen.mismatch(signal)).toBeNull();
      expect(await follow()).toBe("ELOOP");
    } finally {
      service.kill("SIGKILL");
    }
  });

  test("asks nothing of a service that does not run", async () => {
    expect(await mountFlagsSeenBy("trial.service", { path, flags: ["nosuid"] }, async () => null).mismatch(signal)).toBeNull();
  });
});
