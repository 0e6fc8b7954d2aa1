import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { execa } from "execa";
import { afterAll, beforeEach, describe, expect, test } from "vitest";
import { TestCli } from "#harness/cli.ts";
import { KEY, PUBLIC_KEY, WEBSITE } from "#harness/shown.ts";

const cli = await TestCli.start();
afterAll(() => cli.stop());
beforeEach(() => cli.forget());

describe("key add", () => {
  beforeEach(() => {
    cli.control.script = { addKey: () => KEY, showWebsite: () => WEBSITE };
  });

  test.each(["a file", "standard input", "the line itself"])("takes a key from %s", async (source) => {
    await writeFile(join(cli.scratch, "id.pub"), `${PUBLIC_KEY}\n`);
    const given = { "a file": join(cli.scratch, "id.pub"), "standard input": "-" }[source] ?? PUBLIC_KEY;
    const result = await cli.run(["key", "add", "s1", given, "--json"], { input: `${PUBLIC_KEY}\n` });
    expect(JSON.parse(result.stdout)).toEqual(KEY);
    expect(cli.control.asked[0]?.input).toEqual({ publicKey: PUBLIC_KEY });
  });

  test("refuses a private key, names the public one, and shows none of it", async () => {
    const path = join(cli.scratch, "id");
    await execa("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-f", path]);
    const secret = await readFile(path, "utf8");
    for (const given of [path, "-"]) {
      const result = await cli.run(["key", "add", "s1", given], { input: secret });
      expect([result.exitCode, result.stdout, cli.control.asked]).toEqual([1, "", []]);
      expect(result.stderr).toContain(".pub");
      expect(result.stderr).not.toContain(secret.split("\n")[1]);
    }
  });

  test.each(["/dev/zero", "/", "/no/such/file", "hello", ""])("refuses %j, which is no key", async (given) => {
    const result = await cli.run(["key", "add", "s1", given]);
    expect([result.exitCode, cli.control.asked]).toEqual([1, []]);
    expect(result.stderr).toMatch(/SSH public key/);
  });
});
