import { describe, expect, test } from "vitest";
import { planDatabases } from "./databases.ts";

const hashes = new Map([["secret", "*HASH"]]);
const wanted = { name: "db1", user: "db1", password: "secret", clients: ["10.1.0.5", "10.1.0.6"], connections: 40 };
const user = (host: string, passwordHash = "*HASH", connections = 40, isWhole = true) => ({
  ...{ user: "db1", host, passwordHash },
  ...{ connections, isWhole },
});
const nothing = { databases: [], users: [] };
const asWanted = { databases: ["db1"], users: [user("10.1.0.5"), user("10.1.0.6")] };

describe("the database server", () => {
  test("that is as wanted is told nothing", () => {
    expect(planDatabases([wanted], asWanted, hashes)).toEqual([]);
  });

  test("gets a new website's database first, then a user for each of its servers, with TLS and this database alone", () => {
    expect(planDatabases([wanted], nothing, hashes)).toEqual([
      "CREATE DATABASE `db1` CHARACTER SET utf8mb4",
      "CREATE OR REPLACE USER 'db1'@'10.1.0.5' IDENTIFIED BY 'secret' REQUIRE SSL WITH MAX_USER_CONNECTIONS 40",
      "GRANT ALL PRIVILEGES ON `db1`.* TO 'db1'@'10.1.0.5'",
      "CREATE OR REPLACE USER 'db1'@'10.1.0.6' IDENTIFIED BY 'secret' REQUIRE SSL WITH MAX_USER_CONNECTIONS 40",
      "GRANT ALL PRIVILEGES ON `db1`.* TO 'db1'@'10.1.0.6'",
    ]);
  });

  test("renews a user whose password is another, and leaves the rest", () => {
    const have = { ...asWanted, users: [user("10.1.0.5", "*OLD"), user("10.1.0.6")] };
    expect(planDatabases([wanted], have, hashes)).toEqual([
      "CREATE OR REPLACE USER 'db1'@'10.1.0.5' IDENTIFIED BY 'secret' REQUIRE SSL WITH MAX_USER_CONNECTIONS 40",
      "GRANT ALL PRIVILEGES ON `db1`.* TO 'db1'@'10.1.0.5'",
    ]);
  });

  test("renews a user who was not given all that belongs to one", () => {
    const have = { ...asWanted, users: [user("10.1.0.5"), user("10.1.0.6", "*HASH", 40, false)] };
    expect(planDatabases([wanted], have, hashes)).toEqual([
      "CREATE OR REPLACE USER 'db1'@'10.1.0.6' IDENTIFIED BY 'secret' REQUIRE SSL WITH MAX_USER_CONNECTIONS 40",
      "GRANT ALL PRIVILEGES ON `db1`.* TO 'db1'@'10.1.0.6'",
    ]);
  });

  test("changes how many connections a user may have, and not the user: those it has go on", () => {
    const have = { ...asWanted, users: [user("10.1.0.5", "*HASH", 0), user("10.1.0.6")] };
    expect(planDatabases([wanted], have, hashes)).toEqual(["ALTER USER 'db1'@'10.1.0.5' WITH MAX_USER_CONNECTIONS 40"]);
  });

  test("shuts out a server that is gone, and keeps the database", () => {
    expect(planDatabases([{ ...wanted, clients: ["10.1.0.5"] }], asWanted, hashes)).toEqual(["DROP USER 'db1'@'10.1.0.6'"]);
  });

  test("loses a deleted website's users before its database", () => {
    expect(planDatabases([], asWanted, hashes)).toEqual([
      "DROP USER 'db1'@'10.1.0.5'",
      "DROP USER 'db1'@'10.1.0.6'",
      "DROP DATABASE `db1`",
    ]);
  });

  test.each([
    { password: "it's", quoted: "'it''s'" },
    { password: "back\\", quoted: "'back\\\\'" },
    { password: "\\'; DROP DATABASE db1; --", quoted: "'\\\\''; DROP DATABASE db1; --'" },
  ])("reads the password $password as a password", ({ password, quoted }) => {
    const [, created] = planDatabases([{ ...wanted, password }], nothing, new Map());
    expect(created).toBe(`CREATE OR REPLACE USER 'db1'@'10.1.0.5' IDENTIFIED BY ${quoted} REQUIRE SSL WITH MAX_USER_CONNECTIONS 40`);
  });
});
