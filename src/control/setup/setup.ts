import { randomBytes } from "node:crypto";
import { access, mkdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { writeFileAtomic } from "#base/atomic-file.ts";
import type { Log } from "#base/log.ts";
import { until } from "#base/retry.ts";
import { type Argv, run } from "#base/run.ts";
import { CONTROL_CONFIG_PATH, CONTROL_STATE, ControlConfig, OPERATOR_ACCESS_PATH, type OperatorAccess } from "#contract/control-config.ts";
import { ENROLMENT_PATH, type Enrolment } from "#contract/enrolment.ts";
import { createYardKeys, hasRights, renderBrokerConfig } from "#fabric/identity.ts";
import { createAuthority, issueCertificate } from "../authority/authority.ts";
import { enrol } from "../enrol.ts";
import { API_PORT, BROKER_PORT } from "../ports.ts";
import { readSecrets, SECRETS_DIRECTORY, type Secrets } from "../secrets.ts";

const BROKER_DIRECTORY = "/etc/boxyard/broker";
const BROKER_CONFIG = "/etc/nats-server.conf";
/** First line of our configuration; a new number writes it anew on yards that have an older one. */
const BROKER_FORM = "# Boxyard's, form 2\n";
const BROKER_STORE = "/var/lib/boxyard/broker";
const CERTIFICATE_DAYS = 3650;

/** Secrets, broker, database, the operator's access and the control server's own enrolment. */
export async function setUpControl(log: Log): Promise<void> {
  const config = ControlConfig.parse(JSON.parse(await readFile(CONTROL_CONFIG_PATH, "utf8")));
  // The control service runs without root and needs its configuration.
  await run(["chown", "boxyard:boxyard", CONTROL_CONFIG_PATH]);
  await run(["install", "-d", "-o", "boxyard", "-g", "boxyard", "-m", "700", CONTROL_STATE]);
  const secrets = await ensureSecrets(config);
  await Promise.all([setUpBroker(config, secrets), setUpDatabase()]);
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
  const path = join(SECRETS_DIRECTORY, "yard.json");
  if (!(await isThere(path))) {
    await mkdir(SECRETS_DIRECTORY, { recursive: true, mode: 0o700 });
    await writeFileAtomic(path, JSON.stringify(await createSecrets(config)), { mode: 0o600 });
    await run(["chown", "-R", "boxyard:boxyard", SECRETS_DIRECTORY]);
  }
  return readSecrets();
}

async function createSecrets({ yard, server, address }: ControlConfig): Promise<Secrets> {
  const authority = await createAuthority(yard);
  return {
    authority,
    keys: createYardKeys(),
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

async function setUpBroker({ server, address }: ControlConfig, { server: certificate, keys }: Secrets): Promise<void> {
  const [certificatePath, keyPath] = [join(BROKER_DIRECTORY, "certificate.pem"), join(BROKER_DIRECTORY, "key.pem")];
  await run(["install", "-d", "-o", "nats", "-g", "nats", "-m", "750", BROKER_DIRECTORY, BROKER_STORE]);
  await run(["install", "-d", "-o", "root", "-g", "root", "-m", "755", "/etc/systemd/system/nats-server.service.d"]);
  // A config is written once for each form of it: it carries signatures, which differ each time although they say the same.
  const known = await readFile(BROKER_CONFIG, "utf8").catch(() => "");
  const isNew = !known.startsWith(BROKER_FORM);
  if (isNew) {
    await writeFileAtomic(certificatePath, certificate.certificatePem);
    await writeFileAtomic(
      BROKER_CONFIG,
      BROKER_FORM +
        (await renderBrokerConfig(keys, {
          serverName: server,
          address,
          port: BROKER_PORT,
          certificatePath,
          keyPath,
          storeDirectory: BROKER_STORE,
        })),
    );
    await writeFileAtomic("/etc/systemd/system/nats-server.service.d/boxyard.conf", brokerDropIn());
    await writeFileAtomic(keyPath, certificate.keyPem, { mode: 0o600 });
    await run(["chown", "-R", "nats:nats", BROKER_DIRECTORY]);
  }
  await run(["systemctl", "daemon-reload"]);
  await run(["systemctl", "enable", "--now", "nats-server.service"], { timeoutMs: 60_000 });
  if (known !== "" && isNew) await run(["systemctl", "restart", "nats-server.service"], { timeoutMs: 60_000 });
}

/** Debian's unit reads its own file; ours says where ours is, and that the broker comes back whatever happens. */
function brokerDropIn(): string {
  return [
    "[Service]",
    "ExecStart=",
    `ExecStart=/usr/sbin/nats-server -c ${BROKER_CONFIG}`,
    `ReadWritePaths=${BROKER_STORE}`,
    "Restart=always",
    "RestartSec=1",
    "LimitNOFILE=65536",
    "",
  ].join("\n");
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

async function ensureEnrolment({ yard, server, address }: ControlConfig, secrets: Secrets): Promise<void> {
  const known = (await isThere(ENROLMENT_PATH)) ? (JSON.parse(await readFile(ENROLMENT_PATH, "utf8")) as Enrolment) : null;
  const isUpToDate = known !== null && hasRights(known.credentials, { server, roles: ["control"] });
  if (!isUpToDate) {
    const enrolment = await enrol(secrets, { yard, name: server, address, roles: ["control"], broker: address });
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
