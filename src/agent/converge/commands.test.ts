import { beforeEach, describe, expect, test, vi } from "vitest";
import { type Argv, type RunOptions, run } from "#base/run.ts";
import type { Account, Group } from "./accounts.ts";
import { directory } from "./file.ts";
import { mountFlags, mountFlagsSeenBy } from "./mount.ts";
import { removeTree } from "./remove-tree.ts";
import { unit } from "./unit.ts";
import { member, noUser, user } from "./user.ts";

/** Commands are remembered, not run; each can be given what it prints and how it ends, in turn, by its first words. */
const commands = vi.hoisted(() => [] as string[]);
const answers = vi.hoisted(() => new Map<string, { readonly stdout?: string; readonly exitCode?: number }[]>());
vi.mock("#base/run.ts", () => ({
  run: vi.fn(async (argv: Argv, { acceptExitCodes = [0] }: RunOptions = {}) => {
    const command = argv.join(" ");
    commands.push(command);
    const { stdout = "", exitCode = 0 } = [...answers].find(([begin]) => command.startsWith(begin))?.[1].shift() ?? {};
    if (!acceptExitCodes.includes(exitCode)) throw new Error(`exit status ${exitCode}`);
    return { exitCode, stdout, stderr: "" };
  }),
}));

/** How long was waited; nothing is waited for here. */
const waits = vi.hoisted(() => [] as number[]);
vi.mock("node:timers/promises", () => ({ setTimeout: async (ms: number) => void waits.push(ms) }));

/** The server's accounts and groups. */
const known = vi.hoisted(() => ({ accounts: new Map<string, Account>(), groups: new Map<string, Group>() }));
vi.mock("./accounts.ts", () => ({
  findAccount: async (name: string) => known.accounts.get(name) ?? null,
  findGroup: async (name: string) => known.groups.get(name) ?? null,
  accountIds: async () => ({ uid: 1_001, gid: 1_002 }),
}));

const signal = new AbortController().signal;
const website = { name: "s1", uid: 20_001, home: "/srv/sites/s1/home", shell: "/bin/bash" };

beforeEach(() => {
  commands.length = 0;
  waits.length = 0;
  answers.clear();
  known.accounts = new Map();
  known.groups = new Map();
});

describe("the commands", () => {
  test("that make an account, change it, and add it to a group", async () => {
    await user(website).apply(signal);
    known.accounts.set("s1", { ...website, gid: website.uid });
    known.groups.set("s1", { name: "s1", gid: website.uid, members: [] });
    await user(website).apply(signal);
    await member({ user: "s1", group: "sftp" }).apply(signal);
    expect(commands).toEqual([
      "groupadd --gid 20001 -- s1",
      "useradd --uid 20001 --gid 20001 --no-create-home --home-dir /srv/sites/s1/home --shell /bin/bash --no-log-init -- s1",
      "usermod --home /srv/sites/s1/home --shell /bin/bash -- s1",
      "usermod --append --groups sftp -- s1",
    ]);
  });

  test("that remove an account come when its processes have ended, which is looked at until it is so", async () => {
    known.accounts.set("s1", { ...website, gid: website.uid });
    known.groups.set("s1", { name: "s1", gid: website.uid, members: [] });
    answers.set("pgrep", [{ exitCode: 0 }, { exitCode: 1 }]);
    // An account without processes has none to signal.
    answers.set("setpriv", [{ exitCode: 0 }, { exitCode: 1 }]);
    await noUser("s1").apply(signal);
    const end = "setpriv --reuid=20001 --regid=20001 --clear-groups --no-new-privs -- /bin/kill -KILL -- -1";
    expect(commands).toEqual([end, "pgrep -U 20001", end, "pgrep -U 20001", "userdel -- s1", "groupdel -- s1"]);
    expect(run).toHaveBeenCalledWith(expect.arrayContaining(["/bin/kill"]), expect.objectContaining({ cwd: "/" }));
  });

  test("that remove an account do not come while its processes go on, which are waited for some seconds", async () => {
    known.accounts.set("s1", { ...website, gid: website.uid });
    await expect(noUser("s1").apply(signal)).rejects.toMatchObject({ code: "converge.processes-left" });
    expect(commands.filter((command) => command.startsWith("userdel"))).toEqual([]);
    const waitedMs = waits.reduce((sum, ms) => sum + ms, 0);
    expect(waitedMs).toBeGreaterThan(1_000);
    expect(waitedMs).toBeLessThan(10_000);
  });

  test("that end processes are never those of the system's own accounts", async () => {
    known.accounts.set("daemon", { ...website, name: "daemon", uid: 999, gid: 999 });
    await expect(noUser("daemon").apply(signal)).rejects.toMatchObject({ code: "converge.no-account" });
    expect(commands).toEqual([]);
  });

  test("that make a directory, and remove a tree", async () => {
    await directory({ path: "/tmp", mode: 0o1777 }).apply(signal);
    await removeTree("/srv/sites/s1");
    expect(commands).toEqual(["chown -h -- 1001:1002 /tmp", "chmod -- 1777 /tmp", "rm -rf -- /srv/sites/s1"]);
  });

  test("that change a mount, here and as a service sees it", async () => {
    const want = { path: "/srv/files", flags: ["nosuid", "nodev"] };
    const running = { stdout: `MainPID=${process.pid}\nActiveState=active\n` };
    answers.set("systemctl show", [running, running]);
    await mountFlags(want).apply(signal);
    const seen = mountFlagsSeenBy("php8.2-fpm.service", want);
    expect(await seen.mismatch(signal)).toBe("is not mounted");
    await seen.apply(signal);
    const show = "systemctl show --property=ActiveState,MainPID -- php8.2-fpm.service";
    const remount = "mount -o remount,bind,nosuid,nodev /srv/files";
    expect(commands).toEqual([remount, show, show, `nsenter --target=${process.pid} --mount -- ${remount}`]);
  });

  test("that look at a service without a process find none, and then nothing is to be done", async () => {
    const seen = mountFlagsSeenBy("php8.2-fpm.service", { path: "/srv/files", flags: ["nosuid"] });
    for (const stdout of ["MainPID=0\n", "\n", "MainPID=-7\n"]) {
      answers.set("systemctl show", [{ stdout }, { stdout }]);
      expect(await seen.mismatch(signal)).toBeNull();
      await expect(seen.apply(signal)).rejects.toMatchObject({ code: "converge.no-process" });
    }
  });

  const enable = "env SYSTEMCTL_SKIP_SYSV=1 systemctl --no-reload enable -- cron.service";
  const start = "systemctl start -- cron.service";
  test.each([
    ["inactive", { stdout: "disabled\n", exitCode: 1 }, "needs enable and start", [enable, start]],
    ["failed", { stdout: "enabled\n" }, "needs start", [start]],
    ["active", { stdout: "not-found\n", exitCode: 4 }, "needs enable", [enable]],
    ["activating", { stdout: "enabled-runtime\n" }, null, []],
    ["reloading", { stdout: "static\n" }, null, []],
    ["active", { stdout: "alias\n" }, null, []],
  ])("that bring a unit that is %s and %j to run now and at boot", async (state, enabled, reason, verbs) => {
    const active = { stdout: `ActiveState=${state}\n` };
    answers.set("systemctl show", [active, active]);
    answers.set("systemctl is-enabled", [enabled, enabled]);
    const cron = unit({ unit: "cron.service", running: true, atBoot: true });
    expect(await cron.mismatch(signal)).toBe(reason);
    await cron.apply(signal);
    const look = ["systemctl show --property=ActiveState,MainPID -- cron.service", "systemctl is-enabled -- cron.service"];
    expect(commands).toEqual([...look, ...look, ...verbs]);
  });

  test("that look at several units at once are one process for each question, and every unit gets its own answer", async () => {
    answers.set("systemctl show", [{ stdout: "MainPID=7\nActiveState=active\n\nMainPID=0\nActiveState=failed\n" }]);
    answers.set("systemctl is-enabled", [{ stdout: "enabled\nnot-found\n", exitCode: 1 }]);
    const units = ["apache2.service", "cron.service"].map((name) => unit({ unit: name, running: true, atBoot: true }));
    expect(await Promise.all(units.map((one) => one.mismatch(signal)))).toEqual([null, "needs enable and start"]);
    expect(commands.sort()).toEqual([
      "systemctl is-enabled -- apache2.service cron.service",
      "systemctl show --property=ActiveState,MainPID -- apache2.service cron.service",
    ]);
  });

  test("that look at a unit which systemd cannot read take no other one for disabled", async () => {
    // It says nothing of those that come after such a unit.
    answers.set("systemctl is-enabled -- loop.service cron.service", [{ exitCode: 1 }]);
    answers.set("systemctl is-enabled -- loop.service", [{ exitCode: 1 }]);
    answers.set("systemctl is-enabled -- cron.service", [{ stdout: "enabled\n" }]);
    const units = ["loop.service", "cron.service"].map((name) => unit({ unit: name, running: false, atBoot: true }));
    expect(await Promise.all(units.map((one) => one.mismatch(signal)))).toEqual(["needs enable", null]);
  });
});
