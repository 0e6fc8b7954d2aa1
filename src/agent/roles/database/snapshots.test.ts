import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { until } from "#base/retry.ts";
import { run } from "#base/run.ts";
import { startMariadb, type TestMariadb } from "#harness/mariadb.ts";
import { restoreScript, takeScript } from "./snapshot-scripts.ts";

let server: TestMariadb;
let directory: string;

beforeAll(async () => {
  server = await startMariadb();
  directory = await mkdtemp(join(tmpdir(), "boxyard-snapshots-"));
}, 300_000);
afterAll(async () => {
  await server.stop();
  await rm(directory, { recursive: true, force: true });
});

/** As its unit runs it. */
function carryOut(script: (socket: string) => string, deployment: number, ...databases: string[]) {
  const bash = [
    "/bin/bash",
    "-e",
    "-o",
    "pipefail",
    "-c",
    script(server.sockets.root),
    "boxyard",
    String(deployment),
    ...databases,
  ] as const;
  return run(bash, { cwd: directory, timeoutMs: 120_000 });
}

const files = async (): Promise<string[]> => (await readdir(directory, { recursive: true })).filter((name) => name.includes("/")).sort();
const allowedPacket = async () => (await server.runSql("SELECT @@GLOBAL.max_allowed_packet"))[0];

describe("a snapshot", () => {
  /** 44 MB, no UTF-8, of which a dump escapes most: the statement has more than the 64 MB that the server takes of websites. */
  const HOSTILE = "REPEAT(X'00270A0D5C1A22C32700FFFE', 3400000)";

  test("has rows of 40 MB of any bytes, triggers, routines, views and events, and puts all of it back", async () => {
    await server.runSql(`CREATE DATABASE db1 CHARACTER SET utf8mb4; USE db1;
CREATE TABLE big (id INT PRIMARY KEY, a LONGBLOB, b LONGTEXT, c BIT(9), d GEOMETRY, e BINARY(4), f VARCHAR(40) CHARACTER SET latin1) ROW_FORMAT=DYNAMIC;
INSERT INTO big (id, a, b, c, d, e, f) VALUES (1, ${HOSTILE}, REPEAT(CONVERT(X'F09FA7B1270A' USING utf8mb4), 100), b'100000001', POINT(1, 2), X'00FF000A', X'E9275C');
INSERT INTO big (id, a) VALUES (2, RANDOM_BYTES(1024));
CREATE TABLE log (text VARCHAR(100));
ALTER DATABASE COLLATE utf8mb4_icelandic_ci;
SET SESSION innodb_strict_mode = 0, check_constraint_checks = 0, max_heap_table_size = 64 * 1024 * 1024;
CREATE TABLE wide (${Array.from({ length: 200 }, (_, nth) => `c${nth} VARCHAR(255)`).join(", ")}) CHARACTER SET latin1 ROW_FORMAT=COMPACT;
CREATE TABLE odd (n INT CHECK (n > 1), j JSON); INSERT INTO odd VALUES (0, 'no JSON');
CREATE TABLE quick (text CHAR(250)) ENGINE=MEMORY CHARACTER SET latin1; INSERT INTO quick SELECT 'x' FROM seq_1_to_100000;
DELIMITER //
CREATE TRIGGER noted AFTER INSERT ON big FOR EACH ROW BEGIN INSERT INTO log VALUES ('a;b'); INSERT INTO log VALUES (CONCAT('//', NEW.id)); END//
CREATE PROCEDURE twice() BEGIN INSERT INTO log VALUES ('x'); INSERT INTO log VALUES ('y'); END//
CREATE EVENT later ON SCHEDULE EVERY 1 YEAR DO BEGIN CALL twice(); CALL twice(); END//
DELIMITER ;
CREATE VIEW seen AS SELECT id, LENGTH(a) FROM big;`);
    const state = () =>
      server.runSql(`USE db1; SELECT id, SHA2(a, 256), SHA2(b, 256), c + 0, ST_AsText(d), HEX(e), HEX(f) FROM big ORDER BY id;
SELECT COUNT(*) FROM log; SELECT * FROM seen; SELECT @@collation_database; SELECT * FROM odd; SELECT COUNT(*) FROM quick; SELECT COUNT(*) FROM wide; SELECT event_name FROM information_schema.events; SELECT COUNT(*) FROM log`);
    const before = await state();

    await carryOut(takeScript, 5, "db1");
    expect(await files()).toEqual(["db1/5.sql.zst"]);
    await server.runSql("USE db1; UPDATE big SET a = 'spoilt'; DROP TRIGGER noted; DROP PROCEDURE twice; DROP VIEW seen; DROP EVENT later");
    expect(await state().catch(() => null)).not.toEqual(before);

    await carryOut(restoreScript, 5, "db1");
    expect(await state()).toEqual(before);
    expect(await server.runSql("USE db1; INSERT INTO big (id) VALUES (3); CALL twice(); SELECT text FROM log ORDER BY text")).toEqual([
      ["//3"],
      ["a;b"],
      ["x"],
      ["y"],
    ]);
    expect(await files()).toEqual(["db1/5.restored", "db1/5.sql.zst"]);
    expect(await allowedPacket()).toEqual(["67108864"]);
  }, 240_000);

  test("that fails leaves nothing of itself, and the one before it", async () => {
    await expect(carryOut(takeScript, 6, "db1", "db404")).rejects.toThrow(/db404/);
    expect(await files()).toEqual(["db1/5.restored", "db1/5.sql.zst"]);
  }, 60_000);

  test("takes the place of the one of an earlier deployment, in its own database alone", async () => {
    await server.runSql("CREATE DATABASE db2 CHARACTER SET utf8mb4; CREATE DATABASE db3 CHARACTER SET utf8mb4");
    await carryOut(takeScript, 8, "db2", "db3");
    await carryOut(takeScript, 9, "db2");
    expect((await files()).filter((name) => !name.startsWith("db1/"))).toEqual(["db2/9.sql.zst", "db3/8.sql.zst"]);
  }, 60_000);

  test("that cannot be put back leaves the server's limit for statements as it was", async () => {
    await writeFile(join(directory, "db1/7.sql.zst"), "no snapshot");
    await expect(carryOut(restoreScript, 7, "db1")).rejects.toThrow(/zstd/);
    expect(await allowedPacket()).toEqual(["67108864"]);
    expect(await files()).not.toContain("db1/7.restored");
  }, 60_000);

  test("is put back while another's is held up by a table that is in use", async () => {
    await server.runSql("CREATE DATABASE db4 CHARACTER SET utf8mb4; CREATE DATABASE db5 CHARACTER SET utf8mb4; CREATE TABLE db4.t (a INT)");
    await carryOut(takeScript, 2, "db4", "db5");
    // A website's own program, which is in the way as soon as the restore comes to its table.
    const holding = server.runSql("USE db4; LOCK TABLES t WRITE; SELECT SLEEP(20)");
    await until("the lock", async () => ((await server.runSql("SHOW PROCESSLIST")).flat().includes("User sleep") ? true : null), {
      timeoutMs: 10_000,
    });
    const heldUp = carryOut(restoreScript, 2, "db4").then(() => "db4");
    const other = carryOut(restoreScript, 2, "db5").then(() => "db5");
    expect(await Promise.race([heldUp, other])).toBe("db5");
    await Promise.all([holding, heldUp, other]);
  }, 120_000);
});
