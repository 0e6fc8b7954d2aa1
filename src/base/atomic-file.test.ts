import { spawn } from "node:child_process";
import { once } from "node:events";
import { chmod, chown, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { writeFileAtomic } from "./atomic-file.ts";

const UID = 59_872;
let scratch: string;
beforeEach(async () => {
  scratch = await mkdtemp(join(tmpdir(), "boxyard-atomic-"));
});
afterEach(() => rm(scratch, { recursive: true, force: true }));

test("a file has its content, owner and mode, and nothing stays beside it", async () => {
  await writeFileAtomic(join(scratch, "one"), "text", { mode: 0o640, uid: UID, gid: UID });
  const { uid, gid, mode } = await stat(join(scratch, "one"));
  expect({ uid, gid, mode: mode & 0o7777 }).toEqual({ uid: UID, gid: UID, mode: 0o640 });
  expect(await readFile(join(scratch, "one"), "utf8")).toBe("text");
  expect(await readdir(scratch)).toEqual(["one"]);
});

test("in a directory whose owner puts links in the place of what is written, no other file is changed", async () => {
  const [own, kept] = [join(scratch, "own"), join(scratch, "kept")];
  await writeFile(kept, "kept");
  await chmod(kept, 0o600);
  await chmod(scratch, 0o755);
  await writeFileAtomic(join(own, "HEAD"), "0");
  await chown(own, UID, UID);
  const attack = `my ($own, $kept) = @ARGV; chdir $own; my $end = time + 20;
    while (time < $end) { for my $n (glob "*.new") { -l $n or rename $n, "away" and symlink $kept, $n and print "." } }`;
  const command = [`--reuid=${UID}`, `--regid=${UID}`, "--clear-groups", "perl", "-e", `$| = 1; ${attack}`, own, kept];
  const tenant = spawn("setpriv", command, { stdio: ["ignore", "pipe", "inherit"] });
  let links = 0;
  tenant.stdout.on("data", (dots: Buffer) => {
    links += dots.length;
  });
  try {
    const end = performance.now() + 2_000;
    while (performance.now() < end)
      await writeFileAtomic(join(own, "HEAD"), "1", { mode: 0o644, uid: UID, gid: UID }).catch(() => undefined);
    const { uid, mode } = await stat(kept);
    expect({ uid, mode: mode & 0o7777, text: await readFile(kept, "utf8") }).toEqual({ uid: 0, mode: 0o600, text: "kept" });
  } finally {
    const ended = once(tenant, "close");
    tenant.kill("SIGKILL");
    await ended;
    expect(links, "links that it has put there").toBeGreaterThan(0);
  }
});
