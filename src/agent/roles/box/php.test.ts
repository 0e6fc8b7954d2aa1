import { readFile, utimes } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { PhpFpmFolder, type TestPhpFpm } from "#harness/php-fpm.ts";
import { testWebsite } from "../../website/releases/test-site.ts";
import { phpFiles, WARM_SCRIPT } from "./php.ts";

const databases = [{ name: "db7", host: "10.77.0.5", port: 3306, user: "db7", password: "pass-word" }];
const files = phpFiles({
  cluster: "c1",
  git: { server: "git1", address: "10.77.0.4", port: 8440 },
  caches: ["10.77.0.6"],
  websites: [testWebsite({ databases }), testWebsite({ id: "s2", databases })],
});

/** Says what comes of each function that is not for a website, and of each way to allow itself more. */
const PRYING = `<?php
ini_set('display_errors', '0');
$tried = [ini_set('opcache.restrict_api', ''), ini_set('apc.enabled', '1')];
$own = __DIR__ . '/used.php';
echo json_encode([
  'listed' => opcache_get_status(true), 'configuration' => opcache_get_configuration(), 'cached' => opcache_is_script_cached($own),
  'invalidated' => opcache_invalidate($own, true), 'reset' => opcache_reset(), 'set' => $tried,
  'apcu' => extension_loaded('apcu'), 'enabled' => apcu_enabled(), 'stored' => apcu_store('key', 'value'), 'fetched' => apcu_fetch('key'),
  'entered' => apcu_exists('key'), 'directory' => __DIR__, 'memory' => ini_get('memory_limit'),
]);`;
const REFUSED = { listed: false, configuration: false, cached: false, invalidated: false, reset: false, set: [false, false] };
const NO_APCU = { apcu: true, enabled: false, stored: false, fetched: false, entered: false };

describe("PHP-FPM's configuration", () => {
  test.each(files)("$path is as its golden file", async ({ path, content }) => {
    const there = "/opt/boxyard/current/src/agent/roles/box/warm.php";
    await expect(content.replaceAll(WARM_SCRIPT, there)).toMatchFileSnapshot(`golden${path}`);
  });

  test("passes php-fpm, which would refuse a word that it does not know", async () => {
    const folder = await PhpFpmFolder.create({ files });
    await folder.check();
    await folder.write(
      "pool.d/wrong.conf",
      "[wrong]\nuser = nobody\nlisten = /run/none\npm = ondemand\npm.max_children = 1\npm.max_childs = 1\n",
    );
    await expect(folder.check()).rejects.toThrow(/max_childs/);
  });
});

describe("a website's PHP", () => {
  let folder: PhpFpmFolder;
  let php: TestPhpFpm;

  beforeAll(async () => {
    const scripts = {
      "warm.php": await readFile(new URL("warm.php", import.meta.url), "utf8"),
      "site/pry.php": PRYING,
      "site/.user.ini": "opcache.restrict_api =\napc.enabled = 1\nmemory_limit = 200M\n",
      "releases/one/used.php": "<?php echo 'used';",
      "releases/one/unused.php": "<?php",
      "releases/two/used.php": "<?php echo 'used, and new';",
      "releases/two/unused.php": "<?php",
    };
    folder = await PhpFpmFolder.create({ files, scripts });
    const settings = files.find(({ path }) => path.endsWith("99-boxyard.ini"))?.content ?? "";
    await folder.write("conf.d/99-boxyard.ini", settings.replace(WARM_SCRIPT, join(folder.path, "warm.php")));
    // PHP does not keep what is younger than two seconds.
    for (const name of ["one", "two"]) await utimes(join(folder.path, `releases/${name}/used.php`), 1e9, 1e9);
    php = await folder.start();
  }, 60_000);
  afterAll(() => php.stop());

  const ask = async (script: string, parameters: Record<string, string> = {}) =>
    (await php.ask("s1", { SCRIPT_FILENAME: join(folder.path, script), DOCUMENT_ROOT: join(folder.path, "site"), ...parameters })).split(
      "\r\n\r\n",
    )[1] ?? "";
  const pry = async () => JSON.parse(await ask("site/pry.php"));

  test("neither lists nor empties the opcode cache that it shares with others, and keeps nothing in APCu", async () => {
    expect(await pry()).toMatchObject({ ...REFUSED, ...NO_APCU });
  });

  test("cannot allow it to itself by .user.ini, which it reads", async () => {
    expect(await pry()).toMatchObject({ memory: "200M", ...REFUSED, ...NO_APCU });
  });

  test("is warmed by the agent's script all the same: what the live release uses is compiled of the next one", async () => {
    const [from, to] = ["one", "two"].map((name) => join(folder.path, "releases", name));
    const warm = () => ask("warm.php", { BOXYARD_WARM_FROM: from ?? "", BOXYARD_WARM_TO: to ?? "", BOXYARD_WARM_MS: "5000" });
    expect(await warm()).toBe("compiled=0\n");
    expect(await ask("releases/one/used.php")).toBe("used");
    expect(await warm()).toBe("compiled=1\n");
  });
});
