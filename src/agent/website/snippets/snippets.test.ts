import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { describe, expect, test } from "vitest";
import { run } from "#base/run.ts";
import { testWebsite } from "../releases/test-site.ts";
import { environmentForPam, environmentForPool, environmentOf, environmentScript } from "./environment.ts";
import { phpValue } from "./php.ts";
import { snippetFiles } from "./snippets.ts";
import { websiteFacts } from "./website-facts.ts";

const facts = websiteFacts(testWebsite(), "c1");

describe("snippets", () => {
  test.each(Object.entries(snippetFiles(facts)))("%s is as agreed", async (path, content) => {
    await expect(content).toMatchFileSnapshot(`golden/${path}`);
  });

  test("are PHP that the interpreter accepts, and hand over every character of a password", async () => {
    const directory = await mkdtemp(join(tmpdir(), "boxyard-snippets-"));
    try {
      const files = Object.entries(snippetFiles(facts)).filter(([path]) => path.endsWith(".php"));
      for (const [path, content] of files) {
        await mkdir(dirname(join(directory, path)), { recursive: true });
        await writeFile(join(directory, path), content);
        await run(["php", "-l", join(directory, path)]);
      }
      const program = `defined('MYSQLI_CLIENT_SSL') || define('MYSQLI_CLIENT_SSL', 2048) && define('MYSQLI_CLIENT_SSL_VERIFY_SERVER_CERT', 1 << 30); require '${directory}/wordpress/wp-config-db1.php'; require '${directory}/wordpress/wp-config-site.php'; echo json_encode([DB_PASSWORD, DB_HOST, MYSQL_CLIENT_FLAGS, strlen(AUTH_KEY), AUTH_KEY === NONCE_KEY]);`;
      const { stdout } = await run(["php", "-n", "-r", program]);
      expect(JSON.parse(stdout)).toEqual(["pass-Word'\\7", "10.77.0.5:3306", 2048 | (1 << 30), 44, false]);
    } finally {
      await rm(directory, { recursive: true, force: true });
    }
  }, 120_000);

  test("number a website's databases from 1, whatever they are called", () => {
    const two = testWebsite({
      databases: ["db7", "db9"].map((name) => ({ name, host: "10.0.0.1", port: 3306, user: name, password: "x" })),
    });
    const files = snippetFiles(websiteFacts(two, "c1"));
    expect(files["drupal/settings-d11-db2.php"]).toContain("'db9'");
    expect(files["wordpress/wp-config-db1.php"]).toContain("'db7'");
  });
});

test("PHP reads back any text as it was written", async () => {
  const hostile = ["'", "\\", "\\'", "{$x}", "?><?php", "\n", "a\\", "ž", "$x"];
  const { stdout } = await run(["php", "-n", "-r", `echo json_encode(${phpValue(hostile)});`]);
  expect(JSON.parse(stdout)).toEqual(hostile);
});

describe("the environment", () => {
  test("as a script says the same to a shell", async () => {
    const { stdout } = await run(["sh", "-c", `${environmentScript(facts)}\nenv -0`]);
    const variables = Object.fromEntries(
      stdout
        .split("\0")
        .filter(Boolean)
        .map((line) => [line.slice(0, line.indexOf("=")), line.slice(line.indexOf("=") + 1)]),
    );
    expect(variables).toMatchObject(environmentOf(facts));
  });

  test("refuses what PAM or PHP-FPM would misread, instead of handing over something else", () => {
    expect(() => environmentForPam(facts)).toThrow(/DB_PASSWORD/);
    expect(() => environmentForPool(facts)).toThrow(/DB_PASSWORD/);
  });
});
