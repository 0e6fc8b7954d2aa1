// Takes over a minute: a database of 40 MB is written, kept and put back.
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { mustInServer } from "#harness/servers.ts";
import { createSite, removeSite, type Site } from "#harness/site.ts";
import { Visitor } from "#harness/visitor.ts";
import { lastDeployment } from "#harness/yard.ts";

const DOMAIN = "data.example.test";
const MEGABYTES = 40;
const PAGE = `<?php header('Cache-Control: no-store');
mysqli_report(MYSQLI_REPORT_OFF);
$open = function () { $c = mysqli_init(); return @$c->real_connect($_SERVER['DB_HOST'], $_SERVER['DB_USER'], $_SERVER['DB_PASSWORD'], $_SERVER['DB_NAME'], (int) $_SERVER['DB_PORT'], null, MYSQLI_CLIENT_SSL | MYSQLI_CLIENT_SSL_VERIFY_SERVER_CERT) ? $c : mysqli_connect_error(); };
if (isset($_GET['many'])) {
  for ($all = []; count($all) < 400 && is_object($last = $open()); ) $all[] = $last;
  usleep((int) $_GET['many'] * 1000000);
  exit(count($all) . ' ' . (is_object($last) ? '' : $last));
}
if (!isset($_GET['sql'])) exit('front');
echo implode(' ', $open()->query($_GET['sql'])->fetch_row());`;
const MYSQL =
  'mariadb --max-allowed-packet=64M -h "$DB_HOST" -P "$DB_PORT" -u "$DB_USER" -p"$DB_PASSWORD" --ssl-ca="$DB_SSL_CA" "$DB_NAME" -e';

let site: Site;

beforeAll(async () => {
  site = await createSite(DOMAIN);
  const { exitCode, stderr } = await push("docroot/index.php", PAGE);
  expect(exitCode, stderr).toBe(0);
});
afterAll(() => removeSite(site));

async function push(path: string, content: string) {
  await site.repository.write({ [path]: content });
  await site.repository.commit(path);
  return site.repository.push(site.website.gitUrl);
}

const ask = async (query: string) => (await new Visitor(DOMAIN).get(`/?${query}`)).text;
const sql = (statement: string) => ask(`sql=${encodeURIComponent(statement)}`);

describe("a website's database", () => {
  test("grants each server a share of its connections, and root gets in beside them by a socket of its own", async () => {
    const holding = ask("many=5");
    expect(await mustInServer("db1", "mariadb", "--socket=/run/mysqld/root.sock", "-sNe", "SELECT 'in'")).toBe("in");
    expect(await holding).toMatch(/^33 .*max_user_connections/);
    expect(await mustInServer("db1", "stat", "-c", "%U %a", "/run/mysqld/root.sock")).toBe("root 600");
  });

  test("knows time zones by name", async () => {
    expect(await sql("SELECT CONVERT_TZ('2026-07-01 12:00:00', 'UTC', 'Europe/Berlin')")).toBe("2026-07-01 14:00:00");
  });

  test(`is put back with a row of ${MEGABYTES} MB when an update fails`, async () => {
    const fill = `CREATE TABLE big (id INT PRIMARY KEY, b LONGBLOB); INSERT INTO big VALUES (1, REPEAT(CHAR(0), ${MEGABYTES * 1e6}))`;
    const hooks = (update: string) => `version: 3\ndeploy: hold\nhooks:\n  snapshot: database\n  update:\n    - '${MYSQL} "${update}"'\n`;
    const filled = await push("Boxfile", hooks(fill));
    expect(filled.exitCode, filled.stderr).toBe(0);
    const before = await sql("SELECT SHA2(b, 256), LENGTH(b) FROM big");
    const spoilt = await push("Boxfile", `${hooks("UPDATE big SET b = 1")}    - exit 7\n`);
    expect(spoilt.stderr).toMatch(/put db\d+ back as before the update/);
    expect(await lastDeployment(site.website.id)).toMatchObject({ state: "rolled-back" });
    expect(await sql("SELECT SHA2(b, 256), LENGTH(b) FROM big")).toBe(before);
  });
});
