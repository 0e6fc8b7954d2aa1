import { chown, lstat, mkdir, mkdtemp, readdir, readFile, readlink, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { run } from "#base/run.ts";
import { convergeGroups } from "../../converge/runner.ts";
import { homeLink } from "./home-link.ts";

const UID = 59_872;
let scratch: string;
let home: string;

beforeEach(async () => {
  scratch = await mkdtemp(join(tmpdir(), "boxyard-home-"));
  home = join(scratch, "s2/home");
  await mkdir(home, { recursive: true });
  await run(["chmod", "755", scratch]);
  await chown(home, UID, UID);
});
afterEach(() => rm(scratch, { recursive: true, force: true }));

const converge = () =>
  convergeGroups(
    [{ name: "website s2", resources: [homeLink({ id: "s2", uid: UID }, { sites: scratch, files: scratch })] }],
    new AbortController().signal,
  );

describe("~/current", () => {
  test("is made, and is the website's own", async () => {
    expect(await converge()).toMatchObject({ changed: ["~/current of s2"], faults: [], websiteFaults: [] });
    expect(await readlink(`${home}/current`)).toBe("../current");
    expect((await lstat(`${home}/current`)).uid).toBe(UID);
    expect(await converge()).toMatchObject({ changed: [] });
  });

  test("is made again where it leads elsewhere, and what it led to stays as it is", async () => {
    await mkdir(`${scratch}/others`);
    await symlink(`${scratch}/others`, `${home}/current`);
    await symlink(`${scratch}/others`, `${home}/current.new`);
    expect(await converge()).toMatchObject({ changed: ["~/current of s2"], faults: [] });
    expect(await readlink(`${home}/current`)).toBe("../current");
    expect(await readdir(`${scratch}/others`)).toEqual([]);
    expect(await readlink(`${home}/current.new`)).toBe(`${scratch}/others`);
  });

  test.each(["directory", "file"])("a %s in its place is the website's fault, stays, and is named with what helps", async (kind) => {
    if (kind === "directory") await mkdir(`${home}/current`);
    await writeFile(kind === "directory" ? `${home}/current/x` : `${home}/current`, "the website's");
    const { faults, websiteFaults } = await converge();
    expect(faults).toEqual([]);
    expect(websiteFaults).toEqual([
      {
        website: "s2",
        resource: "~/current of s2",
        code: "shell.link-blocked",
        message: `${home}/current is a ${kind}, where the link to the live release should be`,
        next: expect.stringContaining("mv ~/current"),
      },
    ]);
    expect(await readFile(kind === "directory" ? `${home}/current/x` : `${home}/current`, "utf8")).toBe("the website's");
  });
});
