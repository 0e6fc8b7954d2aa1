/** Leads when this server's database does, and stands by until then; `main.ts` loads it. */
import { readFile } from "node:fs/promises";
import { openLog } from "#base/log.ts";
import { watchStandstill } from "#base/standstill.ts";
import { CONTROL_CONFIG_PATH, CONTROL_STATE, ControlConfig } from "#contract/control-config.ts";
import { connectControl } from "#fabric/control.ts";
import { credentialsForControl } from "#fabric/identity.ts";
import type { Listening } from "./api/listen.ts";
import { serveStandby } from "./api/standby.ts";
import { brokerUrls, controlServers, readBusMembers } from "./brokers/members.ts";
import { API_PORT } from "./ports.ts";
import { readSecrets } from "./secrets.ts";
import { startService } from "./service.ts";
import { beginTerm, takeLead } from "./store/lead.ts";
import { openStore } from "./store/open.ts";

/** This server's own, by its socket: the leader works on the database that takes writes, or on none. */
const DATABASE = { host: "/var/run/postgresql", database: "boxyard", user: "boxyard" };

/** Less than another control server needs to take over, with what its lease in etcd has left at least. */
const LONGEST_STANDSTILL_MS = 10_000;

const log = openLog("control");
let isStopping = false;
const config = ControlConfig.parse(JSON.parse(await readFile(CONTROL_CONFIG_PATH, "utf8")));
const { version } = JSON.parse(await readFile(new URL("../../package.json", import.meta.url), "utf8")) as { version: string };
const secrets = await readSecrets();
let standby: Listening | undefined;
const lead = await takeLead(DATABASE, { onWait: standBy });
void lead.lost.then(endWithoutLead);
await standby?.stop();
const store = await openStore(DATABASE);
const term = await beginTerm(store, config.server);
log.info({ term }, "leading");
const members = await readBusMembers(config);
const fabric = await connectControl({
  brokers: brokerUrls(members),
  credentials: await credentialsForControl(secrets.keys),
  caPem: secrets.authority.certificatePem,
  name: "control",
  yard: config.yard,
  server: config.server,
  formerly: controlServers(config).map(({ name }) => name),
  term,
  signerPrivatePem: secrets.keys.signerPrivatePem,
  directory: CONTROL_STATE,
  log,
});
log.info("bus joined");
const standstill = watchStandstill({ longestMs: LONGEST_STANDSTILL_MS, onStandstill: endAfterStandstill });
const service = await startService({ config, secrets, members, store, fabric, version, log, confirmLead: standstill.check });
log.info({ version }, "control started");

for (const signal of ["SIGTERM", "SIGINT"] as const) process.once(signal, () => void stop());

async function stop(): Promise<void> {
  isStopping = true;
  await service.stop();
  await fabric.close();
  await store.destroy();
  await lead.release();
  process.exit(0);
}

/** Until this server leads, its API answers that it stands by. */
function standBy(): void {
  log.info("the database here is not there yet, or a copy: standing by");
  const { server, address, replicas } = config;
  const { certificatePem: certificate, keyPem: key } = secrets.server;
  if (replicas > 1) standby = serveStandby({ server, address, port: API_PORT, certificate, key });
}

/**
 * Another one may lead by now, and the database here not know it yet. The next process leads only if it can begin a term, which
 * a database cannot store that the others have left.
 */
function endAfterStandstill(): void {
  if (config.replicas === 1) return;
  log.error("this process has stood still, and another one may lead: beginning again");
  process.exit(1);
}

/** Another one may lead from now on: nothing is finished here, and the next process stands by. */
function endWithoutLead(): void {
  if (isStopping) return;
  log.error("the database has ended the session that this lead hangs on: beginning again");
  process.exit(1);
}
