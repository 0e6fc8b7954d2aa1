import { PACKET_MEGABYTES } from "./mariadb.ts";

/**
 * Bash, for a deployment and its databases, in the directory of the snapshots. Each dump is one consistent moment of its database;
 * all are in place, or none counts. Rows are taken up to 500 MB, because escaping at most doubles what putting them back has to send
 * in one statement, and 1 GB is the most that MariaDB takes.
 */
export function takeScript(socket: string): string {
  return `
deployment=$1; shift
trap 'for database in "$@"; do rm -f "$database"/*.new; done' EXIT
for database in "$@"; do
  mkdir -p -m 0700 "$database"
  mariadb-dump --socket=${socket} --single-transaction --quick --routines --triggers --events --max-allowed-packet=500M -- "$database" |
    zstd -q -1 -f -o "$database/$deployment.new"
done
for database in "$@"; do
  sync "$database/$deployment.new"
  mv "$database/$deployment.new" "$database/$deployment.sql.zst"
  find "$database" -type f ! -name "$deployment.*" -delete
done
`;
}

/**
 * The same for the way back. Users' rights to a database outlive it; a table that is in use is waited for, but not without end. A row may be larger
 * than what one statement may have: a session keeps the limit that stood when it began, so it is raised for that moment only, and one way
 * back goes after the other.
 */
export function restoreScript(socket: string): string {
  return `
deployment=$1; shift
sql() { mariadb --socket=${socket} --batch --skip-column-names "$@"; }
exec 9> /run/boxyard-restore.lock
flock 9
trap 'sql -e "SET GLOBAL max_allowed_packet = ${PACKET_MEGABYTES} * 1024 * 1024"' EXIT
for database in "$@"; do
  sql -e "SET lock_wait_timeout = 60; DROP DATABASE IF EXISTS $database; CREATE DATABASE IF NOT EXISTS $database CHARACTER SET utf8mb4"
  sql -e "SET GLOBAL max_allowed_packet = 1073741824"
  { echo "SET GLOBAL max_allowed_packet = ${PACKET_MEGABYTES} * 1024 * 1024;"; zstd -dcq "$database/$deployment.sql.zst"; } |
    sql --binary-mode --max-allowed-packet=1G -- "$database"
done
for database in "$@"; do touch "$database/$deployment.restored"; done
`;
}
