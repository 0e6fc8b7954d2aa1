import { once } from "node:events";
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { run } from "#base/run.ts";
import { startMariadb, type TestMariadb } from "#harness/mariadb.ts";
import { databases } from "./databases.ts";
import { mariadbFiles } from "./mariadb.ts";
import { sqlOver } from "./sql.ts";
import { timeZones } from "./time-zones.ts";

const MOST = 20;
let server: TestMariadb;

// Connections that never say who they are stay for as long as the test needs them.
beforeAll(async () => {
  server = await startMariadb({ settings: [`max-connections = ${MOST}`, "connect-timeout = 120"] });
}, 300_000);
afterAll(() => server.stop());

describe("MariaDB's configuration", () => {
  const enrolment = { caPem: "", certificatePem: "", keyPem: "" };
  const rendered = mariadbFiles({ enrolment, spec: { port: 3306 }, address: "10.77.0.5" }).filter(({ path }) => !path.endsWith(".pem"));

  test.each(rendered)("$path is as its golden file", async ({ path, content }) => {
    await expect(content).toMatchFileSnapshot(`golden${path}`);
  });

  test("passes mariadbd, which would refuse a word that it does not know", async () => {
    const check = (file: string) => run(["mariadbd", `--defaults-file=${file}`, "--user=mysql", "--help", "--verbose", "--skip-log-bin"]);
    const file = join(server.folder, "my.cnf");
    await check(file);
    await writeFile(join(server.folder, "wrong.cnf"), `${await readFile(file, "utf8")}max-conections = 3\n`);
    await expect(check(join(server.folder, "wrong.cnf"))).rejects.toThrow(/max-conections/);
  });
});

test("the agent gets in when all connections are used up, several at a time; nobody else does", async () => {
  await server.runSql("CREATE USER visitor@127.0.0.1");
  const taken = await Promise.all(Array.from({ length: MOST + 1 }, () => silentConnection()));
  try {
    await expect(sqlOver(server.sockets.everybody)("SELECT 1")).rejects.toThrow(/Too many connections/);
    const [, extra] = await Promise.all(Array.from({ length: 4 }, () => server.runSql("SELECT SLEEP(1), USER()")));
    expect(extra).toEqual([["0", "root@localhost"]]);
  } finally {
    for (const socket of taken) socket.destroy();
  }
}, 60_000);

/** Has been greeted by the server, and says nothing. */
async function silentConnection(): Promise<Socket> {
  const socket = connect(server.port, "127.0.0.1");
  const [greeting] = await once(socket, "data");
  expect(String(greeting)).toContain("MariaDB");
  return socket;
}

describe("a website's user", () => {
  const want = { name: "db7", user: "db7", password: "it's", clients: ["127.0.0.1"], connections: 3 };
  const other = { ...want, name: "db8", user: "db8" };

  test("has as many connections as the spec says, also one that was there without a limit, and leaves the others theirs", async () => {
    await server.runSql(
      `CREATE DATABASE db7; CREATE USER db7@127.0.0.1 IDENTIFIED BY 'it''s' REQUIRE SSL; GRANT ALL ON db7.* TO db7@127.0.0.1`,
    );
    expect(await connections("db7", 6)).toBe(6);
    const resource = databases([want, other], server.runSql);
    expect(await resource.mismatch(new AbortController().signal)).toMatch(/changes are needed/);
    await resource.apply(new AbortController().signal);
    expect(await resource.mismatch(new AbortController().signal)).toBeNull();
    expect(await connections("db7", 6)).toBe(3);
    expect(await connections("db8", 3)).toBe(3);
    for (const spoiling of ["REVOKE ALL ON db7.* FROM db7@127.0.0.1", "ALTER USER db8@127.0.0.1 REQUIRE NONE"]) {
      await server.runSql(spoiling);
      expect(await resource.mismatch(new AbortController().signal), spoiling).toMatch(/changes are needed/);
      await resource.apply(new AbortController().signal);
      expect(await resource.mismatch(new AbortController().signal), spoiling).toBeNull();
    }
    expect(await connections("db7", 6)).toBe(3);
  }, 120_000);

  /** How many of so many connections at once the server grants. */
  async function connections(user: string, wanted: number): Promise<number> {
    const open = `@mysqli_real_connect($c = mysqli_init(), '127.0.0.1', '${user}', 'it\\'s', '${user}', ${server.port}, null, MYSQLI_CLIENT_SSL)`;
    const program = `mysqli_report(0); $all = []; for ($i = 0; $i < ${wanted}; $i++) if (${open}) $all[] = $c; echo count($all);`;
    return Number((await run(["php", "-r", program])).stdout);
  }
});

describe("time zones", () => {
  const { signal } = new AbortController();
  const inZone = async (zone: string) => (await server.runSql(`SELECT CONVERT_TZ('2026-07-01 12:00:00', 'UTC', '${zone}')`))[0]?.[0];

  test("are known by their names, and loaded again when Debian has other ones", async () => {
    expect(await inZone("Europe/Berlin")).toBe("NULL");
    const installed = timeZones(server.runSql);
    expect(await installed.mismatch(signal)).toBe("are not loaded");
    await installed.apply(signal);
    expect(await installed.mismatch(signal)).toBeNull();
    expect(await inZone("Europe/Berlin")).toBe("2026-07-01 14:00:00");

    const folder = await mkdtemp(join(tmpdir(), "boxyard-zones-"));
    try {
      await mkdir(join(folder, "Europe"));
      await cp("/usr/share/zoneinfo/Asia/Tokyo", join(folder, "Europe/Nowhere"));
      await writeFile(join(folder, "tzdata.zi"), "# version 2099z\n");
      const updated = timeZones(server.runSql, folder);
      expect(await updated.mismatch(signal)).toBe("are not those of the installed tzdata");
      await updated.apply(signal);
      expect(await updated.mismatch(signal)).toBeNull();
      expect(await inZone("Europe/Nowhere")).toBe("2026-07-01 21:00:00");
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  }, 120_000);
});
