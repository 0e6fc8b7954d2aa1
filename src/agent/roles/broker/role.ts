import type { BrokerSpec } from "#contract/spec/broker.ts";
import { BROKER_CONFIG, BROKER_DIRECTORY, BROKER_STORE, BROKER_UNIT, brokerFiles } from "#fabric/broker-config.ts";
import { configuration } from "../../converge/configuration.ts";
import { directory } from "../../converge/file.ts";
import { systemctl, unit } from "../../converge/unit.ts";
import type { RoleContext, RunningRole } from "../role.ts";

/** A broker beside the one on the control server: what the bus stores lies here, too. */
export async function startBroker({ enrolment }: RoleContext): Promise<RunningRole<BrokerSpec>> {
  return {
    groups: ({ trust, port, cluster }, { server: serverName, address }) => [
      {
        name: "broker",
        resources: [
          ...[BROKER_DIRECTORY, BROKER_STORE].map((path) => directory({ path, owner: "nats", group: "nats", mode: 0o750 })),
          configuration({
            id: "broker",
            files: brokerFiles(trust, { serverName, address, port, cluster }, enrolment),
            // As the broker itself: the checker makes folders that it must be able to write to.
            check: ["runuser", "-u", "nats", "--", "nats-server", "-t", "-c", BROKER_CONFIG],
            activate: [systemctl.atBoot("enable", BROKER_UNIT), systemctl.daemonReload(), systemctl.act("restart", BROKER_UNIT)],
            restarts: BROKER_UNIT,
          }),
          // A broker whose store is put back by hand is stopped for that.
          unit({ unit: BROKER_UNIT, running: true, atBoot: true, isWatched: false }),
        ],
      },
    ],
    stop: async () => undefined,
  };
}
