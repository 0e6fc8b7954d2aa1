import { existsSync } from "node:fs";
import { DATABASE_REPLICATED_PATH } from "#contract/control-config.ts";
import type { ControlSpec } from "#contract/spec/control.ts";
import { unit } from "../../converge/unit.ts";
import type { RunningRole } from "../role.ts";

/** A control server: its services are made by src/control/setup, the agent keeps them running. */
export async function startControl(): Promise<RunningRole<ControlSpec>> {
  return {
    groups: (_spec, { roles }) => {
      // The others of three have their broker by a role of its own, and no database before they have a copy.
      const isFirst = roles.broker === undefined;
      const units = [...databaseUnits(isFirst), ...(isFirst ? ["nats-server.service"] : [])];
      return [{ name: "control", resources: units.map((name) => unit({ unit: name, running: true, atBoot: true })) }];
    },
    stop: async () => undefined,
  };
}

function databaseUnits(isFirst: boolean): string[] {
  if (existsSync(DATABASE_REPLICATED_PATH)) return ["etcd.service", "patroni.service"];
  return isFirst ? ["postgresql@17-main.service"] : [];
}
