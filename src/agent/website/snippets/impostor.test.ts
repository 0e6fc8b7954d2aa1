import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { run } from "#base/run.ts";
import { createAuthority, startMariadb, type TestMariadb } from "#harness/mariadb.ts";
import { testWebsite } from "../releases/test-site.ts";
import { MARIADB_CLIENT } from "../system-authorities.ts";
import { DRUPAL_VERSIONS } from "./drupal.ts";
import { snippetFiles } from "./snippets.ts";
import { CA_FILE, websiteFacts } from "./website-facts.ts";

let authority: string;
let scratch: string;
/** The database server. */
let genuine: TestMariadb;
/** Two in its place that know the passwords: one with a certificate of its own making, one with that of another server of the yard. */
let impostors: TestMariadb[];

const database = { name: "db7", user: "db7", password: "pass-Word'\\7" };

beforeAll(async () => {
  [authority, scratch] = [await createAuthority(), await mkdtemp(join(tmpdir(), "boxyard-impostor-"))];
  genuine = await startMariadb({ authority });
  impostors = await Promise.all([startMariadb(), startMariadb({ authority, certifiedAs: "IP:127.0.0.9,DNS:c2b1" })]);
  for (const { runSql } of [genuine, ...impostors])
    await runSql(`CREATE DATABASE db7; GRANT ALL ON db7.* TO db7@127.0.0.1 IDENTIFIED BY 'pass-Word''\\\\7' REQUIRE SSL`);
}, 300_000);
afterAll(async () => {
  for (const server of [genuine, ...impostors]) await server.stop();
  for (const folder of [authority, scratch]) await rm(folder, { recursive: true, force: true });
});

/** The website's file as it would be if this server were its database server, with the test's authority as the yard's. */
function snippetOf(server: TestMariadb, path: string): string {
  const website = testWebsite({ databases: [{ ...database, host: "127.0.0.1", port: server.port }] });
  return (snippetFiles(websiteFacts(website, "c1"))[path] ?? "").replaceAll(CA_FILE, `${authority}/ca.pem`);
}

/** What the program says that runs after the snippet; the system's store has the yard's authority, as on a box. */
async function afterSnippet(server: TestMariadb, path: string, program: string): Promise<string> {
  const file = join(scratch, "snippet.php");
  await writeFile(file, `${snippetOf(server, path)}\n${program}`);
  return (await run(["php", "-d", `openssl.cafile=${authority}/ca.pem`, "-d", "display_errors=0", file])).stdout;
}

describe("a database server that is not the yard's is refused", () => {
  test("by WordPress' snippet, and the yard's is not", async () => {
    // As wpdb::db_connect() does it.
    const connect = `mysqli_report(MYSQLI_REPORT_OFF); [$host, $port] = explode(':', DB_HOST); $db = mysqli_init();
echo @mysqli_real_connect($db, $host, DB_USER, DB_PASSWORD, null, (int) $port, null, MYSQL_CLIENT_FLAGS) ? 'in' : 'refused: ' . mysqli_connect_error();`;
    const path = "wordpress/wp-config-db1.php";
    expect(await afterSnippet(genuine, path, connect)).toBe("in");
    for (const impostor of impostors) expect(await afterSnippet(impostor, path, connect)).toMatch(/^refused: .*SSL/);
  });

  test.each(DRUPAL_VERSIONS)("by Drupal %i's snippet, and the yard's is not; transactions read what is committed", async (version) => {
    // As its driver's open() does it.
    const connect = `$o = $databases['default']['default']; try {
$db = new PDO("mysql:host={$o['host']};port={$o['port']};dbname={$o['database']}", $o['username'], $o['password'], $o['pdo']);
foreach ($o['init_commands'] ?? [] as $sql) $db->exec($sql);
echo 'in, ', $db->query('SELECT @@SESSION.tx_isolation')->fetchColumn(); } catch (PDOException $e) { echo 'refused: ', $e->getMessage(); }`;
    const path = `drupal/settings-d${version}-db1.php`;
    expect(await afterSnippet(genuine, path, connect)).toBe("in, READ-COMMITTED");
    for (const impostor of impostors) expect(await afterSnippet(impostor, path, connect)).toMatch(/^refused: /);
  });

  test("by the mariadb program as the guide's line runs it, and the yard's is not", async () => {
    const options = join(scratch, "client.cnf");
    await writeFile(options, MARIADB_CLIENT.replaceAll(CA_FILE, `${authority}/ca.pem`));
    const line = `mariadb --defaults-file=${options} -h "$DB_HOST" -P "$DB_PORT" -u "$DB_USER" -p"$DB_PASSWORD" --ssl-ca="$DB_SSL_CA" -e "SELECT 'in'" -sN "$DB_NAME"`;
    const enter = (server: TestMariadb) => run(["sh", "-c", `${snippetOf(server, "environment")}\n${line}`]);
    expect((await enter(genuine)).stdout).toBe("in\n");
    for (const impostor of impostors) await expect(enter(impostor)).rejects.toThrow(/certificate/i);
  });
});
