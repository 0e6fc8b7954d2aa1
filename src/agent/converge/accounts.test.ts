import { chmod, chown, mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { run } from "#base/run.ts";
import { accountIds, findAccount, findGroup } from "./accounts.ts";
import { directory, file } from "./file.ts";
import type { Resource } from "./resource.ts";
import { convergeGroups } from "./runner.ts";
import { member, noUser, user } from "./user.ts";

/** Real accounts of this machine, with unused names and numbers; gone when the tests have ended. */
const NAME = `boxyardt${process.pid % 100_000}`;
const FRIEND = `${NAME}f`;
const UID = 700_000 + (process.pid % 100_000);
const signal = new AbortController().signal;

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "boxyard-converge-"));
});
afterEach(async () => {
  for (const name of [NAME, FRIEND]) await noUser(name).apply(signal);
});
afterAll(() => rm(folder, { recursive: true, force: true }));

/** What was changed, and what could not be. */
async function converge(...resources: Resource[]): Promise<string[]> {
  const { changed, faults } = await convergeGroups([{ name: "trial", resources }], signal);
  expect(faults).toEqual([]);
  return [...changed];
}

const account = (more: Partial<Parameters<typeof user>[0]> = {}) =>
  user({ name: NAME, uid: UID, home: "/nowhere", shell: "/bin/sh", ...more });

describe("an account", () => {
  test("is made with its numbers, home, shell and group, and without a home directory or a password", async () => {
    expect(await converge(account())).toEqual([`user ${NAME}`]);
    expect(await findAccount(NAME)).toEqual({ name: NAME, uid: UID, gid: UID, home: "/nowhere", shell: "/bin/sh" });
    expect(await findGroup(NAME)).toEqual({ name: NAME, gid: UID, members: [] });
    await expect(stat("/nowhere")).rejects.toThrow();
    expect((await readFile("/etc/shadow", "utf8")).split("\n").find((line) => line.startsWith(`${NAME}:`))).toMatch(/^[^:]+:!/);
    expect(await converge(account())).toEqual([]);
  });

  test("gets another home or shell, and keeps its numbers", async () => {
    await converge(account());
    expect(await account({ home: "/elsewhere" }).mismatch(signal)).toBe("has another home or shell");
    expect(await account({ shell: "/bin/bash" }).mismatch(signal)).toBe("has another home or shell");
    await converge(account({ home: "/elsewhere", shell: "/bin/bash" }));
    expect(await findAccount(NAME)).toMatchObject({ uid: UID, home: "/elsewhere", shell: "/bin/bash" });
  });

  test("with another number is not taken for the wanted one", async () => {
    await converge(account());
    expect(await account({ uid: UID + 1 }).mismatch(signal)).toBe(`has id ${UID}, not ${UID + 1}`);
  });

  test("is made although its group is there already, as after a turn that was cut off", async () => {
    await run(["groupadd", "--gid", String(UID), "--", NAME]);
    expect(await converge(account())).toEqual([`user ${NAME}`]);
  });

  test("becomes a member of a further group and stays one of those before", async () => {
    await converge(account(), user({ name: FRIEND, uid: UID + 1, home: "/nowhere", shell: "/bin/sh" }));
    const joined = member({ user: NAME, group: FRIEND });
    expect(await joined.mismatch(signal)).toBe("is not a member");
    expect(await converge(joined)).toEqual([`member ${NAME} of ${FRIEND}`]);
    expect((await findGroup(FRIEND))?.members).toEqual([NAME]);
    expect(await converge(joined, member({ user: NAME, group: "games" }))).toEqual([`member ${NAME} of games`]);
    expect((await findGroup(FRIEND))?.members).toEqual([NAME]);
  });

  test("goes with its group and its processes, once", async () => {
    await converge(account());
    const process = run(["setpriv", `--reuid=${UID}`, `--regid=${UID}`, "--clear-groups", "--", "sleep", "60"]);
    const ended = expect(process).rejects.toThrow();
    await new Promise((resolve) => setTimeout(resolve, 200));
    expect(await converge(noUser(NAME))).toEqual([`no user ${NAME}`]);
    await ended;
    expect([await findAccount(NAME), await findGroup(NAME)]).toEqual([null, null]);
    expect(await converge(noUser(NAME))).toEqual([]);
  });

  test("whose group alone is left, as after a turn that was cut off, goes too", async () => {
    await run(["groupadd", "--gid", String(UID), "--", NAME]);
    expect(await noUser(NAME).mismatch(signal)).toBe("is there");
    await converge(noUser(NAME));
    expect(await findGroup(NAME)).toBeNull();
  });
});

describe("numeric ids", () => {
  test("are root's, an owner's with its own group, or a further group's", async () => {
    expect(await accountIds(undefined, undefined)).toEqual({ uid: 0, gid: 0 });
    const daemon = await findAccount("daemon");
    expect(await accountIds("daemon", undefined)).toEqual({ uid: daemon?.uid, gid: daemon?.gid });
    expect(await accountIds("daemon", "games")).toEqual({ uid: daemon?.uid, gid: (await findGroup("games"))?.gid });
    expect(await accountIds(undefined, "games")).toEqual({ uid: 0, gid: (await findGroup("games"))?.gid });
  });

  test("of an account or a group that is not there are a fault", async () => {
    await expect(accountIds(NAME, undefined)).rejects.toMatchObject({ code: "converge.no-account" });
    await expect(accountIds("daemon", NAME)).rejects.toMatchObject({ code: "converge.no-group" });
  });

  test("are not those of a name that only begins alike", async () => {
    expect(await findAccount("daemo")).toBeNull();
    expect(await findGroup("game")).toBeNull();
  });
});

describe("a file", () => {
  const path = (): string => join(folder, "file");

  test("is made with its content, mode and owner, and put right when one of them differs", async () => {
    const wanted = file({ path: path(), content: "text\n", mode: 0o640, owner: "daemon", group: "games" });
    expect(await wanted.mismatch(signal)).toBe("is missing");
    expect(await converge(wanted)).toEqual([`file ${path()}`]);
    const ids = await accountIds("daemon", "games");
    const isRight = async (): Promise<void> => {
      const { uid, gid, mode } = await stat(path());
      expect({ uid, gid, mode: mode & 0o7777 }).toEqual({ ...ids, mode: 0o640 });
      expect(await readFile(path(), "utf8")).toBe("text\n");
    };
    await isRight();
    expect(await converge(wanted)).toEqual([]);
    for (const [spoil, reason] of [
      [() => writeFile(path(), "other\n"), "has other content"],
      [() => chmod(path(), 0o644), "has mode 644, not 640"],
      [() => chown(path(), 0, ids.gid), `belongs to 0:${ids.gid}, not to ${ids.uid}:${ids.gid}`],
      [() => chown(path(), ids.uid, 0), `belongs to ${ids.uid}:0, not to ${ids.uid}:${ids.gid}`],
    ] as const) {
      await spoil();
      expect(await wanted.mismatch(signal)).toBe(reason);
      expect(await converge(wanted)).toEqual([`file ${path()}`]);
      await isRight();
    }
  });

  test("belongs to root and has mode 644 unless it says otherwise", async () => {
    await rm(path(), { force: true });
    await converge(file({ path: path(), content: "" }));
    const { uid, gid, mode } = await stat(path());
    expect({ uid, gid, mode: mode & 0o7777 }).toEqual({ uid: 0, gid: 0, mode: 0o644 });
  });
});

describe("a directory", () => {
  test("is made with its parents, mode and owner, and put right", async () => {
    const path = join(folder, "one/two");
    const wanted = directory({ path, mode: 0o750, owner: "daemon" });
    expect(await wanted.mismatch(signal)).toBe("is missing");
    expect(await converge(wanted)).toEqual([`directory ${path}`]);
    const ids = await accountIds("daemon", undefined);
    const { uid, gid, mode } = await stat(path);
    expect({ uid, gid, mode: mode & 0o7777 }).toEqual({ ...ids, mode: 0o750 });
    await chmod(path, 0o777);
    expect(await wanted.mismatch(signal)).toBe("has mode 777, not 750");
    await converge(wanted);
    await chown(path, 0, 0);
    expect(await converge(wanted)).toEqual([`directory ${path}`]);
  });

  test("has mode 755 unless it says otherwise", async () => {
    const path = join(folder, "open");
    await converge(directory({ path }));
    expect((await stat(path)).mode & 0o7777).toBe(0o755);
  });

  test("is not a file of that name", async () => {
    const path = join(folder, "in-the-way");
    await writeFile(path, "");
    expect(await directory({ path }).mismatch(signal)).toBe("is not a directory");
  });
});
