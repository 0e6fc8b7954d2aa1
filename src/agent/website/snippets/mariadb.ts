import { CA_FILE, type WebsiteFacts } from "./website-facts.ts";

type Database = WebsiteFacts["website"]["databases"][number];

/**
 * What MariaDB's programs read by MYSQL_HOME: who they are, so that no password is in a command line. The first database is the
 * one without a suffix; `--defaults-group-suffix=_db2` means the second.
 */
export function mariadbOptions(databases: readonly Database[]): string {
  const groups = databases.map((database, index) => groupsOf(database, index === 0 ? "" : `_db${index + 1}`));
  return ["# Written by Boxyard.", ...groups.flat(), ""].join("\n");
}

function groupsOf({ name, host, port, user, password }: Database, suffix: string): string[] {
  return [
    `[client${suffix}]`,
    `host=${quote(host)}`,
    `port=${port}`,
    `user=${quote(user)}`,
    `password=${quote(password)}`,
    `ssl-ca=${CA_FILE}`,
    "ssl-verify-server-cert",
    // Not of `client`: a dump takes the database as an argument only.
    `[mysql${suffix}]`,
    `database=${quote(name)}`,
  ];
}

function quote(text: string): string {
  return `"${text.replaceAll("\\", "\\\\").replaceAll('"', '\\"')}"`;
}
