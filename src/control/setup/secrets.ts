import { randomBytes, X509Certificate } from "node:crypto";
import { mkdir } from "node:fs/promises";
import { writeFileAtomic } from "#base/atomic-file.ts";
import { Fault } from "#base/fault.ts";
import { run } from "#base/run.ts";
import { type ControlConfig, SECRETS_DIRECTORY, SECRETS_PATH } from "#contract/control-config.ts";
import { createBrokerTrust, createYardKeys, type YardKeys } from "#fabric/identity.ts";
import { createAuthority, issueCertificate, type KeyPair } from "../authority/authority.ts";
import { readSecrets, type Secrets } from "../secrets.ts";
import { isThere } from "./file.ts";

export const CERTIFICATE_DAYS = 3650;

/** The yard's secrets; the first control server makes them, the others have been given them, with the certificate of another's API. */
export async function ensureSecrets(config: ControlConfig, { isFirst }: { readonly isFirst: boolean }): Promise<Secrets> {
  if (!isFirst) {
    const given = await readGiven(config);
    if (nameIn(given.server) !== config.server) await writeSecrets({ ...given, server: await issueServer(given.authority, config) });
    return readSecrets();
  }
  if (!(await isThere(SECRETS_PATH))) {
    await mkdir(SECRETS_DIRECTORY, { recursive: true, mode: 0o700 });
    await writeSecrets(await createSecrets(config));
  }
  const secrets = await readSecrets();
  // Yards that are older than these have none.
  const older = {
    ...(secrets.broker === undefined ? { broker: await createBrokerSecrets(secrets.keys) } : {}),
    ...(secrets.peers === undefined ? { peers: await createPeers(config) } : {}),
  };
  if (Object.keys(older).length > 0) await writeSecrets({ ...secrets, ...older });
  return readSecrets();
}

async function readGiven({ server }: ControlConfig): Promise<Secrets> {
  const secrets = (await isThere(SECRETS_PATH)) ? await readSecrets() : null;
  if (secrets?.peers !== undefined) return secrets;
  throw new Fault("control.no-secrets", `${server} has not been given the yard's secrets`, { next: "run bin/up for this yard again" });
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
