import { run } from "#base/run.ts";
import type { ControlConfig } from "#contract/control-config.ts";
import { BROKER_DIRECTORY, BROKER_STORE, BROKER_UNIT, brokerFiles } from "#fabric/broker-config.ts";
import { clusterOf } from "../brokers/members.ts";
import { BROKER_PORT } from "../ports.ts";
import type { Secrets } from "../secrets.ts";
import { ensureFiles } from "./file.ts";

/** How the broker of the control server is to run: by itself, by itself where nobody but setup finds it, or as one of three. */
export type BrokerMode = "alone" | "hidden" | "joined";

/** Where nobody but setup looks for a broker. */
export const HIDDEN_PORT = BROKER_PORT + 1;
const START_MS = 60_000;

/** The broker of the control server runs as it is to; it is restarted only when its files have changed. */
export async function ensureBroker(config: ControlConfig, secrets: Secrets, mode: BrokerMode): Promise<void> {
  const { server, address } = config;
  await run(["install", "-d", "-o", "nats", "-g", "nats", "-m", "750", BROKER_DIRECTORY, BROKER_STORE]);
  const options = {
    serverName: server,
    address,
    port: mode === "hidden" ? HIDDEN_PORT : BROKER_PORT,
    cluster: mode === "joined" ? clusterOf(config, secrets) : null,
  };
  const files = brokerFiles(secrets.broker.trust, options, { ...secrets.server, caPem: secrets.authority.certificatePem });
  const hasChanged = await ensureFiles(files);
  await run(["systemctl", "unmask", "--runtime", BROKER_UNIT]);
  await run(["systemctl", "daemon-reload"]);
  await run(["systemctl", "enable", BROKER_UNIT]);
  await run(["systemctl", hasChanged ? "restart" : "start", BROKER_UNIT], { timeoutMs: START_MS });
}

/** Stops the broker, and keeps everybody else from starting it until `ensureBroker` does. */
export async function stopBroker(): Promise<void> {
  await run(["systemctl", "mask", "--runtime", BROKER_UNIT]);
  await run(["systemctl", "stop", BROKER_UNIT], { timeoutMs: START_MS });
}
