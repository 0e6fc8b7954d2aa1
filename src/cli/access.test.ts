import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeEach, describe, expect, test } from "vitest";
import { TestCli } from "#harness/cli.ts";
import { AT, STATUS } from "#harness/shown.ts";

const cli = await TestCli.start();
afterAll(() => cli.stop());
beforeEach(() => {
  cli.forget();
  cli.control.isLeading = true;
});

const DEAD = "https://127.0.0.1:1";

async function accessFile(name: string, access: object): Promise<{ BOXYARD_ACCESS: string }> {
  const file = join(cli.scratch, name);
  await writeFile(file, JSON.stringify({ yard: "main", ...access }));
  return { BOXYARD_ACCESS: file };
}

describe("access to a yard", () => {
  test("with one address as `url`, as it was written before, is read, and what is made of it has `urls`", async () => {
    const { urls, ...rest } = cli.control.access;
    const env = await accessFile("before.json", { url: urls[0], ...rest });
    cli.control.script = { renewToken: () => ({ person: { name: "anna", roles: [], addedAt: AT }, token: "hers" }) };
    const file = join(cli.scratch, "anna.json");
    expect((await cli.run(["person", "token", "anna", "--access", file], { env })).exitCode).toBe(0);
    expect(JSON.parse(await readFile(file, "utf8"))).toEqual({ ...rest, yard: "main", urls, token: "hers" });
  });

  test("of a yard that this machine keeps is read as it was written before", async () => {
    const { urls, ...rest } = cli.control.access;
    await cli.control.writeYard("before", { url: urls[0], urls: undefined, ...rest } as never);
    cli.control.script = { status: () => STATUS };
    expect((await cli.run(["--yard", "before", "status"])).exitCode).toBe(0);
  });

  test("without an address is none", async () => {
    const env = await accessFile("none.json", { ...cli.control.access, urls: [] });
    expect((await cli.run(["status"], { env })).stderr).toMatch(/is no access to a yard: .*\n.*urls\n→ ask an operator/s);
  });
});

describe("three control servers", () => {
  test("that change places are waited for; what is said of it never stands on standard output", async () => {
    cli.control.script = { status: () => STATUS };
    cli.control.isLeading = false;
    const env = await accessFile("three.json", { ...cli.control.access, urls: [DEAD, cli.control.url] });
    const asking = cli.run(["status", "--json"], { env });
    await expect.poll(() => cli.control.looks, { timeout: 10_000 }).toBeGreaterThan(3);
    cli.control.isLeading = true;
    const { stdout, stderr } = await asking;
    expect(JSON.parse(stdout)).toEqual(STATUS);
    expect(stderr).toBe("control of yard main is being taken over by another server, which takes up to half a minute");
  });
});
