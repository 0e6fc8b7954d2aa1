import { randomBytes, X509Certificate } from "node:crypto";
import { connect } from "node:net";
import { writeFileAtomic } from "#base/atomic-file.ts";
import { Fault } from "#base/fault.ts";
import { run } from "#base/run.ts";
import { type ControlConfig, SECRETS_DIRECTORY, SECRETS_PATH } from "#contract/control-config.ts";
import { createBrokerTrust, createYardKeys, type YardKeys } from "#fabric/identity.ts";
import { createAuthority, issueCertificate, type KeyPair } from "../authority/authority.ts";
import { controlServers } from "../brokers/members.ts";
import { BROKER_PORT } from "../ports.ts";
import { readSecrets, type Secrets } from "../secrets.ts";
import { isThere } from "./file.ts";

export const CERTIFICATE_DAYS = 3650;
const LOOK_MS = 2_000;

/**
 * The yard's secrets. Only the first control server of a yard that has none makes them; all others, and one that is made anew in
 * its place, have been given them, with the certificate of another's API. Fault "control.no-secrets".
 */
export async function ensureSecrets(config: ControlConfig, { isFirst }: { readonly isFirst: boolean }): Promise<Secrets> {
  await run(["install", "-d", "-o", "boxyard", "-g", "boxyard", "-m", "700", SECRETS_DIRECTORY]);
  if (!(await isThere(SECRETS_PATH))) {
    if (!isFirst || config.replicatedDatabase || (await isAnotherThere(config))) throw noSecrets(config);
    await writeSecrets(await createSecrets(config));
  }
  const secrets = await readSecrets();
  if (!isFirst && secrets.peers === undefined) throw noSecrets(config);
  const changes = {
    // Yards that are older than these have none.
    ...(secrets.broker === undefined ? { broker: await createBrokerSecrets(secrets.keys) } : {}),
    ...(secrets.peers === undefined ? { peers: await createPeers(config) } : {}),
    ...(nameIn(secrets.server) === config.server ? {} : { server: await issueServer(secrets.authority, config) }),
  };
  if (Object.keys(changes).length > 0) await writeSecrets({ ...secrets, ...changes });
  return readSecrets();
}

/** Whether another control server of the yard has a broker: then the yard has secrets, wherever those of this server are. */
async function isAnotherThere(config: ControlConfig): Promise<boolean> {
  const others = controlServers(config).filter(({ name }) => name !== config.server);
  return (await Promise.all(others.map(({ address }) => answers(address)))).includes(true);
}

function answers(address: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: address, port: BROKER_PORT, timeout: LOOK_MS });
    const end = (isThere: boolean): void => {
      socket.destroy();
      resolve(isThere);
    };
    socket.once("connect", () => end(true));
    socket.once("timeout", () => end(false));
    socket.once("error", () => end(false));
  });
}

function noSecrets({ server }: ControlConfig): Fault {
  return new Fault("control.no-secrets", `${server} has not been given the yard's secrets`, { next: "run bin/up for this yard again" });
}

async function writeSecrets(secrets: Secrets): Promise<void> {
  await writeFileAtomic(SECRETS_PATH, JSON.stringify(secrets), { mode: 0o600 });
  await run(["chown", "-R", "boxyard:boxyard", SECRETS_DIRECTORY]);
}

async function createSecrets(config: ControlConfig): Promise<Secrets> {
  const authority = await createAuthority(config.yard);
  const keys = createYardKeys();
  return {
    authority,
    keys,
    broker: await createBrokerSecrets(keys),
    peers: await createPeers(config),
    server: await issueServer(authority, config),
    defaultWebsite: await issueCertificate(authority, {
      commonName: "no website here",
      dnsNames: ["invalid"],
      validDays: CERTIFICATE_DAYS,
    }),
    operatorToken: randomBytes(32).toString("base64url"),
  };
}

async function createBrokerSecrets(keys: YardKeys): Promise<Secrets["broker"]> {
  return { trust: await createBrokerTrust(keys), password: randomBytes(32).toString("base64url") };
}

function createPeers({ yard }: ControlConfig): Promise<KeyPair> {
  return createAuthority(`${yard}, control servers`);
}

function issueServer(authority: KeyPair, { server, address }: ControlConfig): Promise<KeyPair> {
  return issueCertificate(authority, { commonName: server, dnsNames: [server], addresses: [address], validDays: CERTIFICATE_DAYS });
}

function nameIn({ certificatePem }: KeyPair): string | undefined {
  return new X509Certificate(certificatePem).subject.replace(/^CN=/, "");
}
