import { PACKET_MEGABYTES } from "./mariadb.ts";

/**
 * Bash, for a deployment and its databases, in the directory of the snapshots. Each dump is one consistent moment of its database;
 * all are in place, or none counts. Rows are taken up to 500 MB, because escaping at most doubles what putting them back has to send
 * in one statement, and 1 GB is the most that MariaDB takes. A dump does not say how new tables of its database compare: that comes first.
 */
export function takeScript(socket: string): string {
  return `
deployment=$1; shift
trap 'for database in "$@"; do rm -f "$database"/*.new; done' EXIT
for database in "$@"; do
  mkdir -p -m 0700 "$database"
  {
    mariadb --socket=${socket} --batch --skip-column-names -e "SELECT CONCAT('ALTER DATABASE COLLATE ', default_collation_name, ';') FROM information_schema.schemata WHERE schema_name = '$database'"
    mariadb-dump --socket=${socket} --single-transaction --quick --routines --triggers --events --max-allowed-packet=500M -- "$database"
  } | zstd -q -1 -f -o "$database/$deployment.new"
done
for database in "$@"; do
  sync "$database/$deployment.new"
  mv "$database/$deployment.new" "$database/$deployment.sql.zst"
  find "$database" -type f ! -name "$deployment.*" -delete
done
`;
}

/** A table that is in use is waited for, but not without end; and what the application was allowed to store is not judged again. */
const SESSION = "lock_wait_timeout = 60, innodb_strict_mode = 0, check_constraint_checks = 0, max_heap_table_size = 1073741824";

/**
 * The same for the way back. Users' rights to a database outlive it. A row may be larger than what one statement may have: a session keeps
 * the limit that stood when it began, so it is raised for that moment only. One way back begins after the other.
 */
export function restoreScript(socket: string): string {
  const usual = `SET GLOBAL max_allowed_packet = ${PACKET_MEGABYTES} * 1024 * 1024`;
  return `
deployment=$1; shift
client="mariadb --socket=${socket} --batch --skip-column-names"
exec 9> /run/boxyard-restore.lock
for database in "$@"; do
  $client -e "SET lock_wait_timeout = 60; DROP DATABASE IF EXISTS $database; CREATE DATABASE IF NOT EXISTS $database CHARACTER SET utf8mb4"
  flock 9
  trap '$client -e "${usual}"' EXIT
  $client -e "SET GLOBAL max_allowed_packet = 1073741824"
  coproc $client --unbuffered --binary-mode --max-allowed-packet=1G -- "$database" 9>&-
  loading=$COPROC_PID
  exec 3>&"\${COPROC[1]}" {COPROC[1]}>&-
  echo "${usual}; SET SESSION ${SESSION}; SELECT 'begun';" >&3
  read -r -t 60 -u "\${COPROC[0]}"
  trap - EXIT
  flock -u 9
  zstd -dcq "$database/$deployment.sql.zst" >&3
  exec 3>&-
  wait "$loading"
done
for database in "$@"; do touch "$database/$deployment.restored"; done
`;
}
