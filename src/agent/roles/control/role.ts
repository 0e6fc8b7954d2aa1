import type { ControlSpec } from "#contract/spec/control.ts";
import { unit } from "../../converge/unit.ts";
import type { RunningRole } from "../role.ts";

/** The control server: its services are made by src/control/setup, the agent keeps them running. */
export async function startControl(): Promise<RunningRole<ControlSpec>> {
  return {
    groups: () => [
      {
        name: "control",
        resources: ["postgresql@17-main.service", "nats-server.service"].map((name) => unit({ unit: name, running: true, atBoot: true })),
      },
    ],
    stop: async () => undefined,
  };
}
