import { generateKeyPairSync } from "node:crypto";
import { encodeAccount, encodeOperator, encodeUser } from "@nats-io/jwt";
import { createAccount, createOperator, createUser, fromSeed, type KeyPair } from "@nats-io/nkeys";
import type { Role, ServerName } from "#contract/names.ts";
import { signingNatively } from "./native-keys.ts";
import { subjects } from "./subjects.ts";

/** A yard's roots of trust on the bus; only the control server has them. Plain JSON. */
export interface YardKeys {
  /** Seeds of the NATS operator, the yard's account and the system account. */
  readonly operatorSeed: string;
  readonly accountSeed: string;
  readonly systemSeed: string;
  /** Ed25519 key pair that signs requests and specs, PEM. */
  readonly signerPrivatePem: string;
  readonly signerPublicPem: string;
}

/** What a client shows to the broker: a user JWT signed by the account, and the seed of its key. */
export interface Credentials {
  readonly jwt: string;
  readonly seed: string;
}

export interface BrokerOptions {
  readonly serverName: string;
  readonly address: string;
  readonly port: number;
  readonly certificatePath: string;
  readonly keyPath: string;
  readonly storeDirectory: string;
}

/** Long work may stream replies for this long. */
const REPLY_WINDOW_NS = 15 * 60 * 1e9;

/** Makes new roots of trust. */
export function createYardKeys(): YardKeys {
  const signer = generateKeyPairSync("ed25519");
  return {
    operatorSeed: seedOf(createOperator()),
    accountSeed: seedOf(createAccount()),
    systemSeed: seedOf(createAccount()),
    signerPrivatePem: signer.privateKey.export({ type: "pkcs8", format: "pem" }).toString(),
    signerPublicPem: signer.publicKey.export({ type: "spki", format: "pem" }).toString(),
  };
}

/** A server may answer what it is asked, read its own spec, write its own status, publish its own events; the git server also pushes. Nothing else. */
export function credentialsForServer(
  keys: YardKeys,
  { server, roles }: { server: ServerName; roles: readonly Role[] },
): Promise<Credentials> {
  const isGit = roles.includes("git");
  return signUser(keys, server, {
    pub: {
      allow: [subjects.readSpec(server), subjects.status(server), subjects.eventsOf(server), ...(isGit ? [subjects.pushesOf(server)] : [])],
      deny: [],
    },
    sub: {
      allow: [
        subjects.requestsOf(server),
        subjects.nudge(server),
        `${subjects.inboxOf(server)}.>`,
        ...(isGit ? [subjects.deploymentEvents] : []),
      ],
      deny: [],
    },
    resp: { max: 10_000, ttl: REPLY_WINDOW_NS },
  });
}

/** The control plane may do everything in the yard's account. */
export function credentialsForControl(keys: YardKeys): Promise<Credentials> {
  return signUser(keys, "control", {});
}

/** Configuration of nats-server: TLS, JetStream, and only users that the yard's account has signed. */
export async function renderBrokerConfig(keys: YardKeys, options: BrokerOptions): Promise<string> {
  const [operator, account, system] = [keyOf(keys.operatorSeed), keyOf(keys.accountSeed), keyOf(keys.systemSeed)];
  const operatorJwt = await encodeOperator("boxyard", operator, { system_account: system.getPublicKey() });
  const unlimited = { conn: -1, subs: -1, data: -1, payload: -1, imports: -1, exports: -1, wildcards: true, leaf: -1 };
  const storage = { mem_storage: -1, disk_storage: -1, streams: -1, consumer: -1 };
  const accountJwt = await encodeAccount("yard", account, { limits: { ...unlimited, ...storage } }, { signer: operator });
  const systemJwt = await encodeAccount("system", system, { limits: unlimited }, { signer: operator });
  return [
    `server_name: ${JSON.stringify(options.serverName)}`,
    `listen: ${JSON.stringify(`${options.address}:${options.port}`)}`,
    "max_payload: 8388608",
    "max_connections: 65536",
    'write_deadline: "10s"',
    `tls { cert_file: ${JSON.stringify(options.certificatePath)}, key_file: ${JSON.stringify(options.keyPath)}, timeout: 5 }`,
    `jetstream { store_dir: ${JSON.stringify(options.storeDirectory)}, max_memory_store: 64MB, max_file_store: 4GB }`,
    `operator: ${operatorJwt}`,
    `system_account: ${system.getPublicKey()}`,
    "resolver: MEMORY",
    `resolver_preload: { ${account.getPublicKey()}: ${accountJwt}, ${system.getPublicKey()}: ${systemJwt} }`,
    "",
  ].join("\n");
}

async function signUser(keys: YardKeys, name: string, permissions: object): Promise<Credentials> {
  const user = signingNatively(createUser());
  const unlimited = { subs: -1, data: -1, payload: -1 };
  return { jwt: await encodeUser(name, user, keyOf(keys.accountSeed), { ...unlimited, ...permissions }), seed: seedOf(user) };
}

function seedOf(key: KeyPair): string {
  return new TextDecoder().decode(key.getSeed());
}

const pairs = new Map<string, KeyPair>();

/** Made once for each seed: the yard's own keys sign every credential. */
function keyOf(seed: string): KeyPair {
  const known = pairs.get(seed) ?? signingNatively(fromSeed(new TextEncoder().encode(seed)));
  pairs.set(seed, known);
  return known;
}
