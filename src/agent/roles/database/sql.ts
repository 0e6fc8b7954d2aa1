import { run } from "#base/run.ts";

/** Root's own way in: MariaDB counts its connections apart from everybody else's (see mariadb.ts). */
export const ROOT_SOCKET = "/run/mysqld/root.sock";

/** Runs SQL and gives the rows. */
export type RunSql = (sql: string) => Promise<string[][]>;

/** SQL as root over a unix socket; it goes in by standard input, since it carries passwords. Rows come back tab-separated. */
export function sqlOver(socket: string): RunSql {
  return async (sql) => {
    const { stdout } = await run(["mariadb", `--socket=${socket}`, "--batch", "--skip-column-names", "--connect-timeout=5"], {
      input: sql,
    });
    return stdout
      .split("\n")
      .filter((line) => line !== "")
      .map((line) => line.split("\t"));
  };
}
