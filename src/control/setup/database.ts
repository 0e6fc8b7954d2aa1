import { until } from "#base/retry.ts";
import { run } from "#base/run.ts";
import { ensureFiles } from "./file.ts";

/** Debian's PostgreSQL, when it is alone. */
export const POSTGRESQL_UNIT = "postgresql@17-main.service";
const READY_MS = 60_000;

/** Debian's unit lets a PostgreSQL that was killed lie; the first start after that may find what the dead one still holds. */
const COMES_BACK = {
  path: `/etc/systemd/system/${POSTGRESQL_UNIT}.d/boxyard.conf`,
  content: "# Written by Boxyard.\n[Unit]\nStartLimitIntervalSec=0\n[Service]\nRestart=always\nRestartSec=1\n",
  owner: "root",
  group: "root",
  mode: 0o644,
};

/** PostgreSQL on this server alone, with the account and the database of the control service. */
export async function setUpDatabase(): Promise<void> {
  if (await ensureFiles([COMES_BACK])) await run(["systemctl", "daemon-reload"]);
  await run(["systemctl", "enable", "--now", POSTGRESQL_UNIT], { timeoutMs: 120_000 });
  await until("PostgreSQL to answer", () => psql("select 1"), { timeoutMs: READY_MS });
  // Peer authentication: the Unix user boxyard is the database's user boxyard, and there is no password to lose.
  await ensureRole("boxyard", "login");
  // To see which other control servers have a copy.
  await psql("grant pg_read_all_stats to boxyard");
  const hasDatabase = (await psql("select 1 from pg_database where datname = 'boxyard'")) === "1";
  if (!hasDatabase) await psql("create database boxyard owner boxyard");
}

/** The account with these rights; names are our own words. */
export async function ensureRole(name: string, rights: string): Promise<void> {
  const has = (await psql(`select 1 from pg_roles where rolname = '${name}'`)) === "1";
  if (!has) await psql(`create role ${name} ${rights}`);
}

/** Runs a statement on this server as the database's superuser; gives what it answers, in rows of text. */
export async function psql(sql: string): Promise<string> {
  return (await run(["runuser", "-u", "postgres", "--", "psql", "-XtAc", sql])).stdout.trim();
}
