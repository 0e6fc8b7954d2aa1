import { Fault } from "#base/fault.ts";
import { restoreDatabases, snapshotDatabases } from "#contract/actions/database.ts";
import type { DatabaseSpec } from "#contract/spec/database.ts";
import { unit } from "../../converge/unit.ts";
import type { RoleContext, RunningRole } from "../role.ts";
import { databases } from "./databases.ts";
import { mariadb } from "./mariadb.ts";
import { Snapshots } from "./snapshots.ts";
import { ROOT_SOCKET, sqlOver } from "./sql.ts";
import { timeZones } from "./time-zones.ts";

/** A MariaDB server: its databases, and users that come only from their website's servers and only over TLS. */
export async function startDatabase({ enrolment, fabric, currentSpec }: RoleContext): Promise<RunningRole<DatabaseSpec>> {
  const runSql = sqlOver(ROOT_SOCKET);
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
          mariadb({ enrolment, spec, address }),
          unit({ unit: "mariadb.service", running: true, atBoot: true }),
          databases(spec.databases, runSql),
          timeZones(runSql),
          snapshots.ofOthersAreGone(spec.databases.map(({ name }) => name)),
        ],
      },
    ],
    stop: async () => undefined,
  };
}
