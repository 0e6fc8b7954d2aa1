import { existsSync } from "node:fs";
import { DATABASE_REPLICATED_PATH } from "#contract/control-config.ts";
import type { ControlSpec } from "#contract/spec/control.ts";
import type { Resource } from "../../converge/resource.ts";
import { unit } from "../../converge/unit.ts";
import type { RoleContext, RunningRole } from "../role.ts";
import { copy, copyOn } from "./copy.ts";

/** A control server: its services are made by src/control/setup, the agent keeps them running. */
export async function startControl({ enrolment }: RoleContext): Promise<RunningRole<ControlSpec>> {
  const ownCopy = copy(copyOn(enrolment.server));
  const database = (isFirst: boolean): Resource[] => {
    if (existsSync(DATABASE_REPLICATED_PATH)) return [...["etcd.service", "patroni.service"].map(running), ownCopy];
    return isFirst ? [running("postgresql@17-main.service")] : [];
  };
  return {
    groups: (_spec, { roles }) => {
      // The others of three have their broker by a role of its own, and no database before they have a copy.
      const isFirst = roles.broker === undefined;
      const broker = isFirst ? [running("nats-server.service")] : [];
      return [
        { name: "control", resources: broker },
        { name: "control database", resources: database(isFirst) },
      ];
    },
    stop: async () => undefined,
  };
}

/** Setup stops them while it changes what they are made of. */
function running(name: string): Resource {
  return unit({ unit: name, running: true, atBoot: true, isWatched: false });
}
