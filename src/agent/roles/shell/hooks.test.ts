import { mkdir, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { run } from "#base/run.ts";
import type { ShellSpec } from "#contract/spec/shell.ts";
import { USUAL_LIMITS } from "#contract/work-settings.ts";
import type { TransientUnit, UnitOutcome } from "../../transient-unit.ts";
import { begunHooks, HookRunner } from "./hooks.ts";

/** The units of the server: with what each was begun, how it gets on, and which were forgotten. */
const systemd = vi.hoisted(() => ({
  begun: [] as TransientUnit[],
  forgotten: [] as string[],
  outcomes: new Map<string, UnitOutcome>(),
  lines: [] as string[],
}));
vi.mock("../../transient-unit.ts", async (original) => ({
  ...(await original<typeof import("../../transient-unit.ts")>()),
  beginUnit: async (unit: TransientUnit) => void systemd.begun.push(unit),
  forgetUnit: async (name: string) => void systemd.forgotten.push(name),
  readUnit: async (name: string) => systemd.outcomes.get(name) ?? { state: "running", exitStatus: null },
  readUnitOutput: async () => ({ lines: systemd.lines, cursor: "cursor" }),
  syncJournal: async () => undefined,
}));
vi.mock("../../website/releases/release-file.ts", () => ({
  readReleaseFile: async (directory: string) =>
    directory.endsWith("/missing") ? null : { hooks: { update: ["make update"], after: ["make after"] }, hookSeconds: null },
}));

const GID = 20_007;
vi.mock("../../converge/accounts.ts", () => ({ accountIds: async () => ({ uid: 0, gid: GID }) }));

const WEBSITE = `t${process.pid}`;
const RELEASE = "a".repeat(40);
const carried = {
  limits: USUAL_LIMITS,
  websites: [{ id: WEBSITE, hashSalt: "secret salt", databases: [{ password: "secret password" }] }],
} as unknown as ShellSpec;
const paths = (id: string) => ({ site: `/srv/${id}`, release: (release: string) => `/srv/${id}/${release}` });
const asked = { website: WEBSITE, release: RELEASE, deployment: 7, hook: "update", after: null } as const;
const unitOf = (deployment: number, hook: string): string => `boxyard-hook-${WEBSITE}-${deployment}-${hook}.service`;
const begun = (): string[] => systemd.begun.map(({ name }) => name);

let hooks: HookRunner;
const startAgent = () => new HookRunner({ paths } as unknown as ConstructorParameters<typeof HookRunner>[0], () => carried);

beforeEach(() => {
  for (const list of [systemd.begun, systemd.forgotten, systemd.lines]) list.length = 0;
  systemd.outcomes.clear();
  hooks = startAgent();
});
afterEach(() => rm(begunHooks(WEBSITE), { recursive: true, force: true }));

describe("a hook", () => {
  test("is begun once for a deployment, with its release's commands, as the website and in the release", async () => {
    await Promise.all([hooks.run(asked), hooks.run(asked)]);
    await hooks.run(asked);
    await startAgent().run(asked);
    expect(systemd.begun).toEqual([
      {
        name: unitOf(7, "update"),
        command: ["/bin/bash", "-e", "-o", "pipefail", join(begunHooks(WEBSITE), "7-update")],
        limitSeconds: expect.any(Number),
        properties: ["TasksMax=512", "TimeoutStopSec=10", expect.stringMatching(/^EnvironmentFile=\/.+/)],
        environment: [`HOME=/srv/${WEBSITE}/home`, `USER=${WEBSITE}`, "LANG=C.UTF-8", `BOXYARD_RELEASE=${RELEASE}`],
        user: WEBSITE,
        directory: `/srv/${WEBSITE}/${RELEASE}`,
      },
    ]);
    expect(await readFile(join(begunHooks(WEBSITE), "7-update"), "utf8")).toContain("\nmake update");
  });

  test("has a script that its website reads and cannot change, and others cannot read", async () => {
    await hooks.run(asked);
    const owners = await Promise.all([begunHooks(WEBSITE), join(begunHooks(WEBSITE), "7-update")].map((path) => stat(path)));
    expect(owners.map(({ uid, gid, mode }) => [uid, gid, (mode & 0o777).toString(8)])).toEqual([
      [0, GID, "710"],
      [0, GID, "640"],
    ]);
  });

  test("that cannot be noted for want of space is not begun, and may be when there is some", async () => {
    const place = begunHooks(WEBSITE);
    await mkdir(place, { recursive: true });
    await run(["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", place]);
    try {
      await writeFile(join(place, "large"), Buffer.alloc(65_536)).catch(() => undefined);
      await expect(hooks.run(asked)).rejects.toMatchObject({ code: "ENOSPC" });
      expect(begun()).toEqual([]);
      await rm(join(place, "large"));
      await hooks.run(asked);
      expect(begun()).toEqual([unitOf(7, "update")]);
    } finally {
      await run(["umount", place]);
    }
  });

  test("is not begun when its release is not staged, and may be when it is", async () => {
    await expect(hooks.run({ ...asked, release: "missing" })).rejects.toMatchObject({ code: "hook.not-staged" });
    expect(begun()).toEqual([]);
    await hooks.run(asked);
    expect(begun()).toEqual([unitOf(7, "update")]);
  });

  test("that was ended is forgotten, and never begins", async () => {
    systemd.outcomes.set(unitOf(7, "update"), { state: "lost", exitStatus: null });
    expect(await hooks.end(asked)).toEqual({ ended: true });
    expect(systemd.forgotten).toEqual([unitOf(7, "update")]);
    expect(await hooks.run(asked)).toMatchObject({ state: "lost" });
    expect(begun()).toEqual([]);
  });

  test("that goes on although it was ended is a fault", async () => {
    await expect(hooks.end(asked)).rejects.toMatchObject({ code: "hook.not-ended" });
  });

  test("has those of earlier deployments forgotten, but for what still runs after them; later ones stay", async () => {
    await mkdir(begunHooks(WEBSITE), { recursive: true });
    for (const name of ["5-update", "5-after", "6-update", "6-after", "8-update"]) await writeFile(join(begunHooks(WEBSITE), name), "");
    systemd.outcomes.set(unitOf(5, "after"), { state: "done", exitStatus: 0 });
    await hooks.run(asked);
    expect(systemd.forgotten.toSorted()).toEqual([unitOf(5, "after"), unitOf(5, "update"), unitOf(6, "update")].toSorted());
    expect((await readdir(begunHooks(WEBSITE))).sort()).toEqual(["6-after", "7-update", "8-update"]);
    expect(begun()).toEqual([unitOf(7, "update")]);
  });
});

describe("what a hook says", () => {
  test("is told without the website's secrets, and kept", async () => {
    systemd.lines.push("hello", "with secret password", "and secret salt");
    const lines = ["hello", "with ***", "and ***"];
    expect(await hooks.run(asked)).toEqual({ state: "running", exitStatus: null, lines, cursor: "cursor" });
    expect(await readFile(join(begunHooks(WEBSITE), "output/7-update.log"), "utf8")).toBe(lines.map((line) => `${line}\n`).join(""));
  });

  test("is told to its end before it counts as ended", async () => {
    systemd.outcomes.set(unitOf(7, "update"), { state: "failed", exitStatus: 3 });
    systemd.lines = Array.from({ length: 500 }, (_, index) => `line ${index}`);
    expect(await hooks.run(asked)).toMatchObject({ state: "running" });
    systemd.lines = ["the last"];
    expect(await hooks.run({ ...asked, after: "cursor" })).toMatchObject({ state: "failed", exitStatus: 3, lines: ["the last"] });
  });

  test("is kept for the ten newest deployments", async () => {
    const output = join(begunHooks(WEBSITE), "output");
    await mkdir(output, { recursive: true });
    for (let deployment = 1; deployment <= 12; deployment++)
      for (const name of ["update.log", "update.log.until"]) await writeFile(join(output, `${deployment}-${name}`), "");
    await hooks.run({ ...asked, deployment: 13 });
    const kept = (await readdir(output)).map((name) => Number.parseInt(name, 10));
    expect([...new Set(kept)].sort((a, b) => a - b)).toEqual([3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
    expect(kept).toHaveLength(20);
  });
});
