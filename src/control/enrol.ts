import type { Enrolment } from "#contract/enrolment.ts";
import type { Role, ServerName } from "#contract/names.ts";
import { credentialsForServer } from "#fabric/identity.ts";
import { issueCertificate } from "./authority/authority.ts";
import type { Secrets } from "./secrets.ts";

const CERTIFICATE_DAYS = 3650;

/** Everything that a new server needs to join the yard: its own credential, certificate and the yard's public keys. */
export async function enrol(
  secrets: Secrets,
  server: {
    readonly yard: string;
    readonly name: ServerName;
    readonly address: string;
    readonly roles: readonly Role[];
    readonly brokers: readonly string[];
  },
): Promise<Enrolment> {
  const { yard, name, address, roles, brokers } = server;
  const certificate = await issueCertificate(secrets.authority, {
    commonName: name,
    dnsNames: [name],
    addresses: [address],
    validDays: CERTIFICATE_DAYS,
  });
  return {
    yard,
    server: name,
    address,
    brokers: [...brokers],
    credentials: await credentialsForServer(secrets.keys, { server: name, roles }),
    caPem: secrets.authority.certificatePem,
    certificatePem: certificate.certificatePem,
    keyPem: certificate.keyPem,
    signerPem: secrets.keys.signerPublicPem,
  };
}
