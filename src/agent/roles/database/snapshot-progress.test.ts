import { mkdir, mkdtemp, readdir, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import type { TransientUnit, UnitOutcome } from "../../transient-unit.ts";
import { restoreScript, takeScript } from "./snapshot-scripts.ts";
import { Snapshots } from "./snapshots.ts";
import { ROOT_SOCKET } from "./sql.ts";

/** The units of the server: with what each was begun, how it gets on, what it has said, and which were forgotten. */
const systemd = vi.hoisted(() => ({
  begun: [] as TransientUnit[],
  forgotten: [] as string[],
  outcomes: new Map<string, UnitOutcome>(),
  lines: [] as string[],
  isSynced: false,
}));
vi.mock("../../transient-unit.ts", () => ({
  beginUnit: async (unit: TransientUnit) => {
    systemd.begun.push(unit);
    systemd.outcomes.set(unit.name, { state: "running", exitStatus: null });
  },
  forgetUnit: async (name: string) => {
    systemd.forgotten.push(name);
    systemd.outcomes.delete(name);
  },
  readUnit: async (name: string) => systemd.outcomes.get(name) ?? { state: "lost", exitStatus: null },
  readUnitOutput: async (name: string, { most }: { most: number }) =>
    systemd.isSynced && systemd.outcomes.has(name)
      ? { lines: systemd.lines.slice(0, most), cursor: null }
      : { lines: ["not all"], cursor: null },
  syncJournal: async () => {
    systemd.isSynced = true;
  },
}));

const MB = 1024 * 1024;
/** The disk, where it is there. */
const disk = vi.hoisted(() => ({ free: 0 }));
vi.mock("node:fs/promises", async (original) => {
  const real = await original<typeof import("node:fs/promises")>();
  return { ...real, statfs: async (path: string) => ({ ...(await real.statfs(path)), bavail: disk.free / 512, bsize: 512 }) };
});

const TAKE = "boxyard-snapshot-7.service";
const RESTORE = "boxyard-restore-7.service";
const asked = { databases: ["db1", "db2"], deployment: 7 };
const running = { state: "running", why: null, bytes: 0 };

let scratch: string;
let directory: string;
let snapshots: Snapshots;
/** What the server is asked, and the row that it answers with. */
const questions: string[] = [];
let tables: string[][];

beforeEach(async () => {
  scratch = await mkdtemp(join(tmpdir(), "boxyard-snapshot-progress-"));
  directory = join(scratch, "boxyard/snapshots");
  Object.assign(systemd, { begun: [], forgotten: [], lines: [], isSynced: false });
  systemd.outcomes.clear();
  questions.length = 0;
  tables = [[String(3 * MB)]];
  disk.free = 1024 * MB;
  snapshots = new Snapshots(async (sql) => {
    questions.push(sql);
    return tables;
  }, directory);
});
afterEach(() => rm(scratch, { recursive: true, force: true }));

/** Files that a unit leaves when it has ended well. */
async function leave(ending: string, sizes: Readonly<Record<string, number>>, deployment = 7): Promise<void> {
  for (const [database, size] of Object.entries(sizes)) {
    await mkdir(join(directory, database), { recursive: true });
    await writeFile(join(directory, database, `${deployment}.${ending}`), "x".repeat(size));
  }
}

describe("a snapshot", () => {
  test("is begun once, as a unit in a directory of root's alone", async () => {
    expect(await Promise.all([snapshots.take(asked), snapshots.take(asked)])).toEqual([running, running]);
    expect(systemd.begun).toEqual([
      {
        name: TAKE,
        command: ["/bin/bash", "-e", "-o", "pipefail", "-c", takeScript(ROOT_SOCKET), "boxyard", "7", "db1", "db2"],
        limitSeconds: 600,
        properties: ["Nice=5"],
        directory,
      },
    ]);
    expect((await stat(directory)).mode & 0o777).toBe(0o700);
    expect(systemd.forgotten).toEqual([]);
  });

  test("is under way until its files are there, also when its unit has ended", async () => {
    await snapshots.take(asked);
    await leave("sql.zst", { db1: 10 });
    await leave("sql.zst", { db2: 10 }, 6);
    expect(await snapshots.take(asked)).toEqual(running);
    systemd.outcomes.set(TAKE, { state: "done", exitStatus: 0 });
    expect(await snapshots.take(asked)).toEqual(running);
    expect(systemd.begun).toHaveLength(1);
    await leave("sql.zst", { db2: 32 });
    expect(await snapshots.take(asked)).toEqual({ state: "done", why: null, bytes: 42 });
    expect(systemd.forgotten).toEqual([TAKE]);
  });

  test.each([
    ["failed", 20, "line 1 line 2"],
    ["failed", 0, "it was ended"],
    ["timed-out", 20, "it took longer than 600 s"],
  ] as const)("that %s having said %i lines tells why, and may be begun again", async (state, count, why) => {
    await snapshots.take(asked);
    systemd.outcomes.set(TAKE, { state, exitStatus: null });
    systemd.lines = Array.from({ length: count }, (_, index) => `line ${index + 1}`);
    const told = await snapshots.take(asked);
    expect(told).toEqual({ state: "failed", why: expect.stringContaining(why), bytes: 0 });
    expect(systemd.forgotten).toEqual([TAKE]);
    expect(await snapshots.take(asked)).toEqual(running);
    expect(systemd.begun.map(({ name }) => name)).toEqual([TAKE, TAKE]);
  });

  test("that failed says twenty lines at most", async () => {
    await snapshots.take(asked);
    systemd.outcomes.set(TAKE, { state: "failed", exitStatus: 1 });
    systemd.lines = Array.from({ length: 25 }, () => "line");
    expect((await snapshots.take(asked)).why?.split(" ")).toHaveLength(20);
  });
});

describe("the space for a snapshot", () => {
  test("is what its tables need, and half a gigabyte that stays free", async () => {
    disk.free = 515 * MB;
    expect(await snapshots.take(asked)).toEqual(running);
    expect(questions).toEqual([expect.stringMatching(/SUM\(data_length \+ index_length\).* IN \('db1', 'db2'\)$/)]);
  });

  test("that lacks a little is a fault, nothing is begun, and the next is tried anew", async () => {
    disk.free = 515 * MB - 512;
    const missing = { code: "database.no-space", message: "a snapshot needs 515 MB, and the database server has 515 MB" };
    const both = await Promise.allSettled([snapshots.take(asked), snapshots.take({ databases: ["db3"], deployment: 8 })]);
    expect(both).toMatchObject([
      { status: "rejected", reason: missing },
      { status: "rejected", reason: missing },
    ]);
    expect(systemd.begun).toEqual([]);
    disk.free = 200 * MB;
    await expect(snapshots.take(asked)).rejects.toThrow("needs 515 MB, and the database server has 200 MB");
    disk.free = 515 * MB;
    expect(await snapshots.take(asked)).toEqual(running);
  });

  test.each([{ rows: [] }, { rows: [[]] }, { rows: [["0"]] }])(
    "of databases without tables ($rows) is what stays free",
    async ({ rows }) => {
      tables = rows;
      disk.free = 512 * MB - 512;
      await expect(snapshots.take(asked)).rejects.toMatchObject({ code: "database.no-space" });
      disk.free = 512 * MB;
      expect(await snapshots.take(asked)).toEqual(running);
    },
  );

  test("is not asked for once it is begun", async () => {
    await snapshots.take(asked);
    disk.free = 0;
    expect(await snapshots.take(asked)).toEqual(running);
    expect(questions).toHaveLength(1);
  });
});

describe("the way back", () => {
  test.each([
    ["there is no snapshot", {}, 7],
    ["one of its databases has none", { db1: 1 }, 7],
    ["they are another deployment's", { db1: 1, db2: 1 }, 6],
  ])("is a fault when %s", async (_why, sizes, deployment) => {
    await leave("sql.zst", sizes, deployment);
    await expect(snapshots.restore(asked)).rejects.toMatchObject({
      code: "database.no-snapshot",
      message: expect.stringContaining("db1, db2"),
    });
    expect(systemd.begun).toEqual([]);
  });

  test("is begun once, also without space on the disk, and is done when every database is back", async () => {
    await leave("sql.zst", { db1: 10, db2: 32 });
    disk.free = 0;
    expect(await Promise.all([snapshots.restore(asked), snapshots.restore(asked)])).toEqual([running, running]);
    expect(systemd.begun).toEqual([
      {
        name: RESTORE,
        command: ["/bin/bash", "-e", "-o", "pipefail", "-c", restoreScript(ROOT_SOCKET), "boxyard", "7", "db1", "db2"],
        limitSeconds: 600,
        properties: ["Nice=5"],
        directory,
      },
    ]);
    expect(questions).toEqual([]);
    await leave("restored", { db1: 0 });
    expect(await snapshots.restore(asked)).toEqual(running);
    await leave("restored", { db2: 0 });
    expect(await snapshots.restore(asked)).toEqual({ state: "done", why: null, bytes: 42 });
    expect(systemd.forgotten).toEqual([RESTORE]);
    expect(systemd.begun).toHaveLength(1);
  });

  test("that fails tells why, and may be begun again", async () => {
    await leave("sql.zst", { db1: 10, db2: 32 });
    await snapshots.restore(asked);
    systemd.outcomes.set(RESTORE, { state: "failed", exitStatus: 1 });
    systemd.lines = ["zstd: broken"];
    expect(await snapshots.restore(asked)).toEqual({ state: "failed", why: "zstd: broken", bytes: 0 });
    expect(await snapshots.restore(asked)).toEqual(running);
  });
});

describe("snapshots of databases that are gone", () => {
  const { signal } = new AbortController();

  test("are removed, and others stay", async () => {
    await leave("sql.zst", { db1: 1, db2: 1, db3: 1 });
    const others = snapshots.ofOthersAreGone(["db2", "db4"]);
    expect(await others.mismatch(signal)).toBe("there are snapshots of db1, db3");
    await others.apply(signal);
    expect(await others.mismatch(signal)).toBeNull();
    expect(await readdir(directory)).toEqual(["db2"]);
  });

  test("are none before the first snapshot", async () => {
    const others = snapshots.ofOthersAreGone([]);
    expect(await others.mismatch(signal)).toBeNull();
    await others.apply(signal);
  });
});
