import { Fault } from "#base/fault.ts";
import { run } from "#base/run.ts";
import { restoreDatabases, snapshotDatabases } from "#contract/actions/database.ts";
import type { DatabaseSpec } from "#contract/spec/database.ts";
import { configuration } from "../../converge/configuration.ts";
import { systemctl, unit } from "../../converge/unit.ts";
import type { RoleContext, RunningRole } from "../role.ts";
import { databases } from "./databases.ts";
import { Snapshots } from "./snapshots.ts";

const DIRECTORY = "/etc/mysql/boxyard";

/** A MariaDB server: its databases, and users that come only from their website's servers and only over TLS. */
export async function startDatabase({ enrolment, fabric, currentSpec }: RoleContext): Promise<RunningRole<DatabaseSpec>> {
  const snapshots = new Snapshots(runSql);
  const known = <A extends { readonly databases: readonly string[] }>(asked: A): A => {
    const own = new Set(currentSpec()?.roles.database?.databases.map(({ name }) => name));
    const strange = asked.databases.filter((name) => !own.has(name));
    if (strange.length === 0) return asked;
    throw new Fault("database.unknown", `this server has no database ${strange.join(", ")}`);
  };
  fabric.answer(snapshotDatabases, async (asked) => snapshots.take(known(asked)));
  fabric.answer(restoreDatabases, async (asked) => snapshots.restore(known(asked)));
  return {
    groups: (spec, { address }) => [
      {
        name: "database",
        resources: [
          configuration({
            id: "mariadb",
            files: [
              { path: `${DIRECTORY}/ca.pem`, content: enrolment.caPem },
              { path: `${DIRECTORY}/certificate.pem`, content: enrolment.certificatePem },
              { path: `${DIRECTORY}/key.pem`, content: enrolment.keyPem, owner: "mysql", mode: 0o600 },
              { path: "/etc/mysql/mariadb.conf.d/90-boxyard.cnf", content: renderMariadbConfig(spec, address) },
            ],
            check: ["mariadbd", "--user=mysql", "--help", "--verbose", "--skip-log-bin"],
            activate: [systemctl.act("enable", "mariadb.service"), systemctl.act("restart", "mariadb.service")],
          }),
          unit({ unit: "mariadb.service", running: true, atBoot: true }),
          databases(spec.databases, runSql),
          snapshots.ofOthersAreGone(spec.databases.map(({ name }) => name)),
        ],
      },
    ],
    stop: async () => undefined,
  };
}

/** Runs SQL as root over the unix socket; the SQL goes in by standard input, since it carries passwords. Rows come back tab-separated. */
async function runSql(sql: string): Promise<string[][]> {
  const { stdout } = await run(["mariadb", "--batch", "--skip-column-names", "--connect-timeout=5"], { input: sql });
  return stdout
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => line.split("\t"));
}

function renderMariadbConfig({ port }: DatabaseSpec, address: string): string {
  return [
    "# Written by Boxyard; changes are overwritten.",
    "[mariadbd]",
    `bind-address = ${address}`,
    `port = ${port}`,
    "skip-name-resolve",
    "require-secure-transport = ON",
    `ssl-ca = ${DIRECTORY}/ca.pem`,
    `ssl-cert = ${DIRECTORY}/certificate.pem`,
    `ssl-key = ${DIRECTORY}/key.pem`,
    "character-set-server = utf8mb4",
    "default-storage-engine = InnoDB",
    "innodb-buffer-pool-size = 128M",
    "innodb-log-file-size = 48M",
    "max-connections = 300",
    "max-allowed-packet = 64M",
    // As with two writable servers, so that nobody's code relies on ids without gaps.
    "auto-increment-increment = 2",
    "auto-increment-offset = 1",
    "",
  ].join("\n");
}
