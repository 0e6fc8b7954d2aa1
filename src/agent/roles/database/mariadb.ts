import type { Enrolment } from "#contract/enrolment.ts";
import type { DatabaseSpec } from "#contract/spec/database.ts";
import { type ConfigurationFile, configuration } from "../../converge/configuration.ts";
import type { Resource } from "../../converge/resource.ts";
import { systemctl } from "../../converge/unit.ts";
import { ROOT_SOCKET } from "./sql.ts";

const DIRECTORY = "/etc/mysql/boxyard";
const UNITS = "/etc/systemd/system";
const SOCKETS = ["mariadb.socket", "mariadb-extra.socket"] as const;

export interface MariadbOptions {
  readonly enrolment: Pick<Enrolment, "caPem" | "certificatePem" | "keyPem">;
  readonly spec: Pick<DatabaseSpec, "port">;
  readonly address: string;
}

/** MariaDB's configuration, its certificate and the sockets on which it listens. */
export function mariadb(options: MariadbOptions): Resource {
  return configuration({
    id: "mariadb",
    files: mariadbFiles(options),
    check: ["mariadbd", "--user=mysql", "--help", "--verbose", "--skip-log-bin"],
    activate: [
      systemctl.daemonReload(),
      // A socket cannot begin to listen while its service runs.
      ["systemctl", "stop", "--", "mariadb.service", ...SOCKETS],
      systemctl.atBoot("enable", "mariadb.service"),
      systemctl.act("start", "mariadb.service"),
    ],
    restarts: "mariadb.service",
  });
}

/** The files of that configuration. */
export function mariadbFiles({ enrolment, spec, address }: MariadbOptions): ConfigurationFile[] {
  const [everybody, extra] = SOCKETS;
  return [
    { path: `${DIRECTORY}/ca.pem`, content: enrolment.caPem },
    { path: `${DIRECTORY}/certificate.pem`, content: enrolment.certificatePem },
    { path: `${DIRECTORY}/key.pem`, content: enrolment.keyPem, owner: "mysql", mode: 0o600 },
    { path: "/etc/mysql/mariadb.conf.d/90-boxyard.cnf", content: SETTINGS },
    { path: `${UNITS}/mariadb.service.d/boxyard.conf`, content: NEEDS_SOCKETS },
    { path: `${UNITS}/${everybody}.d/boxyard.conf`, content: listenTo([`${address}:${spec.port}`, "/run/mysqld/mysqld.sock"]) },
    { path: `${UNITS}/${extra}.d/boxyard.conf`, content: `${listenTo([ROOT_SOCKET])}SocketUser=root\nSocketMode=0600\n` },
  ];
}

/** The most that one statement, and so one row, may have. */
export const PACKET_MEGABYTES = 64;

/** Where MariaDB listens is said by the sockets that systemd hands to it. */
const SETTINGS = `# Written by Boxyard; changes are overwritten.
[mariadbd]
skip-name-resolve
require-secure-transport = ON
ssl-ca = ${DIRECTORY}/ca.pem
ssl-cert = ${DIRECTORY}/certificate.pem
ssl-key = ${DIRECTORY}/key.pem
character-set-server = utf8mb4
default-storage-engine = InnoDB
innodb-buffer-pool-size = 128M
innodb-log-file-size = 48M
max-connections = 300
# For root alone, who comes by a socket of its own: the agent, its dumps and the operator get in when the others are used up.
extra-max-connections = 10
max-allowed-packet = ${PACKET_MEGABYTES}M
# As with two writable servers, so that nobody's code relies on ids without gaps.
auto-increment-increment = 2
auto-increment-offset = 1
`;

const NEEDS_SOCKETS = `# Written by Boxyard.
[Unit]
Requires=${SOCKETS.join(" ")}
After=${SOCKETS.join(" ")}
`;

/** In place of what the package lists. At boot the server may not have its address yet. */
function listenTo(places: readonly string[]): string {
  return ["# Written by Boxyard.", "[Socket]", "ListenStream=", ...places.map((place) => `ListenStream=${place}`), "FreeBind=yes", ""].join(
    "\n",
  );
}
