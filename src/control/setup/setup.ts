import { randomBytes } from "node:crypto";
import { access, mkdir, readFile } from "node:fs/promises";
import { writeFileAtomic } from "#base/atomic-file.ts";
import type { Log } from "#base/log.ts";
import { until } from "#base/retry.ts";
import { type Argv, run } from "#base/run.ts";
import {
  CONTROL_CONFIG_PATH,
  CONTROL_STATE,
  ControlConfig,
  OPERATOR_ACCESS_PATH,
  type OperatorAccess,
  SECRETS_DIRECTORY,
  SECRETS_PATH,
} from "#contract/control-config.ts";
import { ENROLMENT_PATH, type Enrolment } from "#contract/enrolment.ts";
import { createBrokerTrust, createYardKeys, hasRights, type YardKeys } from "#fabric/identity.ts";
import { createAuthority, issueCertificate } from "../authority/authority.ts";
import { brokerUrls, readBusMembers } from "../brokers/members.ts";
import { enrol } from "../enrol.ts";
import { API_PORT } from "../ports.ts";
import { readSecrets, type Secrets } from "../secrets.ts";
import { setUpBroker } from "./join.ts";

const CERTIFICATE_DAYS = 3650;

/** Secrets, broker, database, the operator's access and the control server's own enrolment. */
export async function setUpControl(log: Log): Promise<void> {
  const config = ControlConfig.parse(JSON.parse(await readFile(CONTROL_CONFIG_PATH, "utf8")));
  // The control service runs without root and needs its configuration.
  await run(["chown", "boxyard:boxyard", CONTROL_CONFIG_PATH]);
  await run(["install", "-d", "-o", "boxyard", "-g", "boxyard", "-m", "700", CONTROL_STATE]);
  const secrets = await ensureSecrets(config);
  await Promise.all([setUpBroker(config, secrets, log), setUpDatabase()]);
  log.info("broker and database are ready");
  await ensureEnrolment(config, secrets);
  const access: OperatorAccess = {
    url: `https://${config.address}:${API_PORT}`,
    token: secrets.operatorToken,
    caPem: secrets.authority.certificatePem,
  };
  await writeFileAtomic(OPERATOR_ACCESS_PATH, JSON.stringify(access), { mode: 0o600 });
}

async function ensureSecrets(config: ControlConfig): Promise<Secrets> {
  if (!(await isThere(SECRETS_PATH))) {
    await mkdir(SECRETS_DIRECTORY, { recursive: true, mode: 0o700 });
    await writeSecrets(await createSecrets(config));
  }
  const secrets = await readSecrets();
  // Yards that are older than this have none.
  if (secrets.broker === undefined) await writeSecrets({ ...secrets, broker: await createBrokerSecrets(secrets.keys) });
  return readSecrets();
}

async function writeSecrets(secrets: Secrets): Promise<void> {
  await writeFileAtomic(SECRETS_PATH, JSON.stringify(secrets), { mode: 0o600 });
  await run(["chown", "-R", "boxyard:boxyard", SECRETS_DIRECTORY]);
}

async function createBrokerSecrets(keys: YardKeys): Promise<Secrets["broker"]> {
  return { trust: await createBrokerTrust(keys), password: randomBytes(32).toString("base64url") };
}

async function createSecrets({ yard, server, address }: ControlConfig): Promise<Secrets> {
  const authority = await createAuthority(yard);
  const keys = createYardKeys();
  return {
    authority,
    keys,
    broker: await createBrokerSecrets(keys),
    server: await issueCertificate(authority, {
      commonName: server,
      dnsNames: [server],
      addresses: [address],
      validDays: CERTIFICATE_DAYS,
    }),
    defaultWebsite: await issueCertificate(authority, {
      commonName: "no website here",
      dnsNames: ["invalid"],
      validDays: CERTIFICATE_DAYS,
    }),
    operatorToken: randomBytes(32).toString("base64url"),
  };
}

async function setUpDatabase(): Promise<void> {
  await run(["systemctl", "enable", "--now", "postgresql@17-main.service"], { timeoutMs: 120_000 });
  const psql = (sql: string): Argv => ["runuser", "-u", "postgres", "--", "psql", "-XtAc", sql];
  await until("PostgreSQL to answer", async () => (await run(psql("select 1"))).stdout.trim(), { timeoutMs: 60_000 });
  // Peer authentication: the Unix user boxyard is the database's user boxyard, and there is no password to lose.
  const hasRole = (await run(psql("select 1 from pg_roles where rolname = 'boxyard'"))).stdout.trim() === "1";
  if (!hasRole) await run(psql("create role boxyard login"));
  const hasDatabase = (await run(psql("select 1 from pg_database where datname = 'boxyard'"))).stdout.trim() === "1";
  if (!hasDatabase) await run(psql("create database boxyard owner boxyard"));
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

async function isThere(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
