import { readFile } from "node:fs/promises";
import { writeFileAtomic } from "#base/atomic-file.ts";
import type { Log } from "#base/log.ts";
import { run } from "#base/run.ts";
import {
  CONTROL_CACHE,
  CONTROL_CONFIG_PATH,
  CONTROL_STATE,
  ControlConfig,
  DATABASE_REPLICATED_PATH,
  OPERATOR_ACCESS_PATH,
  type OperatorAccess,
} from "#contract/control-config.ts";
import { ENROLMENT_PATH, type Enrolment } from "#contract/enrolment.ts";
import { hasRights } from "#fabric/identity.ts";
import { brokerUrls, controlServers, controlUrls, readBusMembers, writeBusMembers } from "../brokers/members.ts";
import { enrol } from "../enrol.ts";
import type { Secrets } from "../secrets.ts";
import { setUpDatabase } from "./database.ts";
import { isThere } from "./file.ts";
import { setUpBroker } from "./join.ts";
import { setUpReplicatedDatabase } from "./replicated-database.ts";
import { ensureSecrets } from "./secrets.ts";

/** Secrets, broker, database, the operator's access and the control server's own enrolment. */
export async function setUpControl(log: Log): Promise<void> {
  const config = ControlConfig.parse(JSON.parse(await readFile(CONTROL_CONFIG_PATH, "utf8")));
  const isFirst = controlServers(config)[0]?.name === config.server;
  // The control service runs without root and needs its configuration.
  await run(["chown", "boxyard:boxyard", CONTROL_CONFIG_PATH]);
  await run(["install", "-d", "-o", "boxyard", "-g", "boxyard", "-m", "700", CONTROL_STATE, CONTROL_CACHE]);
  const secrets = await ensureSecrets(config, { isFirst });
  const database = (await areAllThree(config)) ? () => setUpReplicatedDatabase({ config, secrets, isFirst, log }) : setUpDatabase;
  // Who is one of three, or becomes one again, has a broker among the others'.
  if (!isFirst || config.rejoins) await writeBusMembers(controlServers(config));
  if (isFirst) {
    await Promise.all([setUpBroker(config, secrets, log), database()]);
    await ensureEnrolment(config, secrets);
  } else {
    // The agent keeps the broker, and the provisioner has enrolled the server.
    await database();
  }
  log.info("broker and database are ready");
  const access: OperatorAccess = {
    urls: controlUrls(config),
    token: secrets.operatorToken,
    caPem: secrets.authority.certificatePem,
  };
  await writeFileAtomic(OPERATOR_ACCESS_PATH, JSON.stringify(access), { mode: 0o600 });
}

/** Whether the database lies, or is now to lie, on three servers; there is no way back. */
async function areAllThree(config: ControlConfig): Promise<boolean> {
  return config.replicas === 3 && (config.replicatedDatabase || (await isThere(DATABASE_REPLICATED_PATH)));
}

async function ensureEnrolment(config: ControlConfig, secrets: Secrets): Promise<void> {
  const { yard, server, address } = config;
  const known = (await isThere(ENROLMENT_PATH)) ? (JSON.parse(await readFile(ENROLMENT_PATH, "utf8")) as Enrolment) : null;
  const isUpToDate = known !== null && hasRights(known.credentials, { server, roles: ["control"] });
  if (!isUpToDate) {
    const brokers = brokerUrls(await readBusMembers(config));
    const enrolment = await enrol(secrets, { yard, name: server, address, roles: ["control"], brokers });
    await writeFileAtomic(ENROLMENT_PATH, JSON.stringify(enrolment), { mode: 0o600 });
  }
  await run(["systemctl", known === null || isUpToDate ? "start" : "restart", "boxyard-agent.service"]);
}
