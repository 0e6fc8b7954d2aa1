import type { DatabaseSpec } from "#contract/spec/database.ts";
import type { Resource } from "../../converge/resource.ts";
import type { RunSql } from "./sql.ts";

type Database = DatabaseSpec["databases"][number];

/** What the server has of ours: databases, and users with their hosts, password hashes, rights and how many connections they may have. */
export interface DatabaseState {
  readonly databases: readonly string[];
  readonly users: readonly UserState[];
}

interface UserState {
  readonly user: string;
  readonly host: string;
  readonly passwordHash: string;
  readonly connections: number;
  /** Whether it has its database, and needs TLS. */
  readonly isWhole: boolean;
}

/** Every database and user of the spec is there, and none of ours beside them. */
export function databases(want: readonly Database[], runSql: RunSql): Resource {
  return {
    id: "databases",
    mismatch: async () => {
      const statements = planDatabases(want, await readState(runSql), await hashPasswords(want, runSql));
      return statements.length === 0 ? null : `${statements.length} changes are needed`;
    },
    apply: async () => {
      const statements = planDatabases(want, await readState(runSql), await hashPasswords(want, runSql));
      await runSql(`${statements.join(";\n")};\n`);
    },
  };
}

/** The statements that make the server as wanted. Names and hosts are of narrow form by their schema; passwords are quoted. */
export function planDatabases(want: readonly Database[], have: DatabaseState, hashes: ReadonlyMap<string, string>): string[] {
  const statements: string[] = [];
  const wantedUsers = new Set<string>();
  for (const { name, user, password, clients, connections } of want) {
    if (!have.databases.includes(name)) statements.push(`CREATE DATABASE \`${name}\` CHARACTER SET utf8mb4`);
    for (const host of clients) {
      wantedUsers.add(`${user}@${host}`);
      const known = have.users.find((one) => one.user === user && one.host === host);
      const limit = `WITH MAX_USER_CONNECTIONS ${connections}`;
      if (known?.isWhole && known.passwordHash === hashes.get(password)) {
        if (known.connections !== connections) statements.push(`ALTER USER '${user}'@'${host}' ${limit}`);
        continue;
      }
      statements.push(
        `CREATE OR REPLACE USER '${user}'@'${host}' IDENTIFIED BY ${quote(password)} REQUIRE SSL ${limit}`,
        `GRANT ALL PRIVILEGES ON \`${name}\`.* TO '${user}'@'${host}'`,
      );
    }
  }
  for (const { user, host } of have.users) if (!wantedUsers.has(`${user}@${host}`)) statements.push(`DROP USER '${user}'@'${host}'`);
  const wantedDatabases = new Set(want.map(({ name }) => name));
  for (const name of have.databases) if (!wantedDatabases.has(name)) statements.push(`DROP DATABASE \`${name}\``);
  return statements;
}

async function readState(runSql: RunSql): Promise<DatabaseState> {
  const found = await runSql("SELECT schema_name FROM information_schema.schemata WHERE schema_name REGEXP '^db[0-9]+$'");
  // A user's database has the user's name. Between the statements that make a user the server may have ended.
  const users = await runSql(
    `SELECT user, host, authentication_string, max_user_connections, ssl_type = 'ANY' AND EXISTS (
       SELECT * FROM mysql.db AS own WHERE own.user = known.user AND own.host = known.host AND own.db = known.user AND own.create_priv = 'Y'
     ) FROM mysql.user AS known WHERE user REGEXP '^db[0-9]+$'`,
  );
  return {
    databases: found.map(([name = ""]) => name),
    users: users.map(([user = "", host = "", passwordHash = "", connections = "", isWhole = ""]) => ({
      user,
      host,
      passwordHash,
      connections: Number(connections),
      isWhole: isWhole === "1",
    })),
  };
}

async function hashPasswords(want: readonly Database[], runSql: RunSql): Promise<Map<string, string>> {
  const passwords = [...new Set(want.map(({ password }) => password))];
  if (passwords.length === 0) return new Map();
  const [row = []] = await runSql(`SELECT ${passwords.map((password) => `PASSWORD(${quote(password)})`).join(", ")}`);
  return new Map(passwords.map((password, index) => [password, row[index] ?? ""]));
}

function quote(text: string): string {
  return `'${text.replaceAll("\\", "\\\\").replaceAll("'", "''")}'`;
}
