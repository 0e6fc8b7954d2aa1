/** What root does with what a tenant's account has made, and goes on making: here by a foreign account's id. */
import { spawn } from "node:child_process";
import { access, chown, mkdir, mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";
import { run } from "#base/run.ts";
import { asAccount } from "./as-account.ts";
import { directory } from "./file.ts";
import { removeTree } from "./remove-tree.ts";
import { convergeGroups } from "./runner.ts";
import { endProcesses } from "./user.ts";

const UID = 59_871;
const AS_TENANT = [`--reuid=${UID}`, `--regid=${UID}`, "--clear-groups"];

test("a tree is removed whose paths are longer than any path may be", async () => {
  const scratch = await mkdtemp(join(tmpdir(), "boxyard-tree-"));
  try {
    const tree = join(scratch, "tree");
    await mkdir(tree);
    await chown(scratch, UID, UID);
    await chown(tree, UID, UID);
    const script = "use strict; chdir $ARGV[0] or die; for (1..600) { mkdir 'a' x 20 or die; chdir 'a' x 20 or die }";
    await run(asAccount(UID, ["perl", "-e", script, tree]));
    await removeTree(tree);
    await expect(access(tree)).rejects.toThrow("ENOENT");
    await removeTree(tree);
  } finally {
    await run(["rm", "-rf", "--", scratch]);
  }
});

test("a tree is removed while its owner puts links to another one in the place of its directories", async () => {
  const scratch = await mkdtemp(join(tmpdir(), "boxyard-tree-"));
  const kept = join(scratch, "kept");
  const script = `my ($tree, $kept) = @ARGV; chdir $tree; my $end = time + 20;
    while (time < $end) { for my $n (0..19) { rename "d$n", "e$n" and symlink $kept, "d$n"; unlink "d$n"; rename "e$n", "d$n" } }`;
  const tree = join(scratch, "tree");
  const fill = `mkdir "$2"; for n in $(seq 20); do : > "$2/f$n"; done; for d in $(seq 0 19); do mkdir -p "$1/d$d"; for n in $(seq 20); do : > "$1/d$d/f$n"; done; done`;
  try {
    await run(["sh", "-ec", fill, "sh", tree, kept]);
    await run(["chown", "-R", `${UID}:${UID}`, tree]);
    await run(["chmod", "755", scratch]);
    const tenant = spawn("setpriv", [...AS_TENANT, "perl", "-e", script, tree, kept]);
    await sleep(50);
    await removeTree(tree).catch(() => undefined);
    tenant.kill("SIGKILL");
    await removeTree(tree);
    expect((await readdir(kept)).length).toBe(20);
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
});

test("an account's processes end although each begins the next one and is gone", async () => {
  const script = "my $end = time + 20; while (time < $end) { exit if fork; select undef, undef, undef, 0.004 }";
  for (let chain = 0; chain < 3; chain++) spawn("setpriv", [...AS_TENANT, "perl", "-e", script], { stdio: "ignore" });
  const isAny = async (): Promise<boolean> => {
    for (let look = 0; look < 10; look++)
      if ((await run(["pgrep", "-U", String(UID)], { acceptExitCodes: [0, 1] })).exitCode === 0) return true;
    return false;
  };
  while (!(await isAny())) await sleep(20);
  await endProcesses(UID);
  expect(await isAny()).toBe(false);
});

test("no process of the system's own accounts is ended", async () => {
  await expect(endProcesses(0)).rejects.toMatchObject({ code: "converge.no-account" });
});

test("a directory whose owner changes its permissions all the time is a website's fault, not the server's", async () => {
  const scratch = await mkdtemp(join(tmpdir(), "boxyard-tree-"));
  await run(["chmod", "755", scratch]);
  const own = { path: join(scratch, "own"), owner: "nobody", group: "nogroup", mode: 0o700, website: "s1" };
  const after = { path: join(scratch, "after") };
  const { signal } = new AbortController();
  const groups = [{ name: "website s1", resources: [directory(own), directory(after)] }];
  try {
    expect(await convergeGroups(groups, signal)).toMatchObject({ faults: [], websiteFaults: [] });
    const script = "my $end = time + 60; while (time < $end) { chmod 0755, $ARGV[0] }";
    const tenant = spawn("setpriv", ["--reuid=65534", "--regid=65534", "--clear-groups", "perl", "-e", script, own.path]);
    let websites: readonly string[] = [];
    for (let turn = 0; turn < 50 && websites.length === 0; turn++) {
      const { faults, websiteFaults } = await convergeGroups(groups, signal);
      expect(faults).toEqual([]);
      websites = websiteFaults.map(({ website }) => website);
    }
    tenant.kill("SIGKILL");
    expect(websites).toEqual(["s1"]);
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
});
