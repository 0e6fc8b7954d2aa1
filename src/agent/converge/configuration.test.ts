import { chmod, mkdtemp, readdir, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type ConfigurationWant, configuration } from "./configuration.ts";
import { convergeGroups, type Outcome } from "./runner.ts";

/** The service of these tests: its checker refuses the word "wrong", its activation appends to a log. */
let folder: string;
const signal = new AbortController().signal;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "boxyard-configuration-"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const path = (name: string): string => join(folder, name);
const read = (name: string): Promise<string | null> => readFile(path(name), "utf8").catch(() => null);

function want(content: string, more: Partial<ConfigurationWant> = {}): ConfigurationWant {
  return {
    id: "service",
    files: [{ path: path("service.conf"), content }],
    check: ["sh", "-c", `if grep -q wrong ${path("service.conf")}; then echo "line 1: wrong word" >&2; exit 1; fi`],
    activate: [["sh", "-c", `cat ${path("service.conf")} >> ${path("activated")}`]],
    records: path("records"),
    ...more,
  };
}

function converge(content: string, more?: Partial<ConfigurationWant>): Promise<Outcome> {
  return convergeGroups([{ name: "service", resources: [configuration(want(content, more))] }], signal);
}

describe("a configuration", () => {
  test("that is new is checked, put in place and activated, once", async () => {
    expect(await converge("one\n")).toMatchObject({ changed: ["configuration service"], faults: [] });
    expect(await converge("one\n")).toMatchObject({ changed: [], faults: [] });
    expect(await read("activated")).toBe("one\n");
  });

  test("that is to be activated in another way than before is activated once more", async () => {
    await converge("one\n");
    const otherwise = { activate: [["sh", "-c", `echo otherwise >> ${path("activated")}`]] } as const;
    expect((await converge("one\n", otherwise)).changed).toEqual(["configuration service"]);
    expect((await converge("one\n", otherwise)).changed).toEqual([]);
    expect(await read("activated")).toBe("one\notherwise\n");
  });

  test("that the checker refuses leaves the old one in place and in use, and is reported with the checker's words", async () => {
    await converge("one\n");
    const { faults } = await converge("wrong\n");
    expect(faults).toEqual([
      { resource: "service: configuration service", code: "converge.refused", message: expect.stringContaining("line 1: wrong word") },
    ]);
    expect(await read("service.conf")).toBe("one\n");
    expect(await read("activated")).toBe("one\n");
    expect((await converge("two\n")).faults).toEqual([]);
    expect(await read("activated")).toBe("one\ntwo\n");
  });

  test("that is refused where there was none leaves none", async () => {
    await converge("wrong\n");
    expect(await read("service.conf")).toBeNull();
  });

  test("that cannot be activated is taken back, and the old one is activated again", async () => {
    await converge("one\n");
    const failing = [["sh", "-c", `cat ${path("service.conf")} >> ${path("activated")}; ! grep -q two ${path("service.conf")}`]] as const;
    const { faults } = await converge("two\n", { activate: failing });
    expect(faults[0]?.code).toBe("converge.not-activated");
    expect(await read("service.conf")).toBe("one\n");
    expect(await read("activated")).toBe("one\ntwo\none\n");
  });

  test("that was changed by hand, in content or in mode, is put right", async () => {
    await converge("one\n");
    await writeFile(path("service.conf"), "by hand\n");
    expect((await converge("one\n")).changed).toHaveLength(1);
    expect(await read("service.conf")).toBe("one\n");
    await chmod(path("service.conf"), 0o666);
    expect((await converge("one\n")).changed).toHaveLength(1);
    expect((await stat(path("service.conf"))).mode & 0o777).toBe(0o644);
  });

  test("is one whole: when one file is refused none is changed, and surplus files of its own come back", async () => {
    const owns = [{ directory: folder, pattern: /^site-.*[.]conf$/ }];
    const files = (main: string, ...sites: string[]) => [
      { path: path("service.conf"), content: main },
      ...sites.map((site) => ({ path: path(`site-${site}.conf`), content: `${site}\n` })),
    ];
    await converge("", { files: files("one\n", "a", "b"), owns });
    await converge("", { files: files("wrong\n", "c"), owns });
    expect((await readdir(folder)).filter((name) => name.startsWith("site-"))).toEqual(["site-a.conf", "site-b.conf"]);
    await converge("", { files: files("two\n", "c"), owns });
    expect((await readdir(folder)).filter((name) => name.startsWith("site-"))).toEqual(["site-c.conf"]);
  });

  test("whose turn was cut off before the check is not taken for the one to keep", async () => {
    await converge("one\n");
    const underWay = path("records/service.before");
    await converge("wrong\n", { check: ["sh", "-c", `cp ${underWay} ${path("at-the-check")}; exit 1`] });
    // What a power cut during the check leaves: unchecked files at their place, and the record of what was there before them.
    await writeFile(path("service.conf"), "wrong\n");
    await rename(path("at-the-check"), underWay);
    expect((await converge("also wrong\n")).faults[0]?.code).toBe("converge.refused");
    expect(await read("service.conf")).toBe("one\n");
  });
});
