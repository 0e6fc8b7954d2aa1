/** The control service: `node src/control/main.ts`, as user boxyard, on a control server that setup has made ready. */
import { readFile } from "node:fs/promises";
import { openLog } from "#base/log.ts";
import { until } from "#base/retry.ts";
import { CONTROL_CONFIG_PATH, CONTROL_STATE, ControlConfig } from "#contract/control-config.ts";
import { connectControl } from "#fabric/control.ts";
import { credentialsForControl } from "#fabric/identity.ts";
import { brokerUrls, readBusMembers } from "./brokers/members.ts";
import { readSecrets } from "./secrets.ts";
import { startService } from "./service.ts";
import { openStore } from "./store/open.ts";

const START_MS = 120_000;

const log = openLog("control");
const config = ControlConfig.parse(JSON.parse(await readFile(CONTROL_CONFIG_PATH, "utf8")));
const { version } = JSON.parse(await readFile(new URL("../../package.json", import.meta.url), "utf8")) as { version: string };
const secrets = await readSecrets();
const store = await until("PostgreSQL", () => openStore({ host: "/var/run/postgresql", database: "boxyard", user: "boxyard" }), {
  timeoutMs: START_MS,
});
log.info("database open");
const members = await readBusMembers(config);
const fabric = await connectControl({
  brokers: brokerUrls(members),
  credentials: await credentialsForControl(secrets.keys),
  caPem: secrets.authority.certificatePem,
  name: "control",
  yard: config.yard,
  server: config.server,
  signerPrivatePem: secrets.keys.signerPrivatePem,
  directory: CONTROL_STATE,
  log,
});
log.info("bus joined");
const service = await startService({ config, secrets, members, store, fabric, version, log });
log.info({ version }, "control started");

for (const signal of ["SIGTERM", "SIGINT"] as const) process.once(signal, () => void stop());

async function stop(): Promise<void> {
  await service.stop();
  await fabric.close();
  await store.destroy();
  process.exit(0);
}
