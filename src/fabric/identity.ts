import { generateKeyPairSync } from "node:crypto";
import { isDeepStrictEqual } from "node:util";
import { encodeAccount, encodeOperator, encodeUser, type User } from "@nats-io/jwt";
import { createAccount, createOperator, fromSeed, type KeyPair } from "@nats-io/nkeys";
import type { Role, ServerName } from "#contract/names.ts";
import type { BrokerTrust } from "#contract/spec/broker.ts";
import { type Credentials, createBusKey, seedOf, signingNatively } from "./native-keys.ts";
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

/** What a server's rights follow from. */
export interface ServerIdentity {
  readonly server: ServerName;
  readonly roles: readonly Role[];
}

/** A key that counts no more: whatever was signed for it until then. */
export interface RevokedKey {
  readonly publicKey: string;
  readonly at: Date;
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

/** Credentials with a server's rights, for a key that is made here. */
export async function credentialsForServer(keys: YardKeys, server: ServerIdentity): Promise<Credentials> {
  const { seed, publicKey } = createBusKey();
  return { seed, jwt: await jwtForServer(keys, server, publicKey) };
}

/** The same for a key that the server has made by itself. */
export function jwtForServer(keys: YardKeys, { server, roles }: ServerIdentity, publicKey: string): Promise<string> {
  const { publish, subscribe } = rightsOf({ server, roles });
  return signUser(keys.accountSeed, server, publicKey, {
    pub: { allow: publish, deny: [] },
    sub: { allow: subscribe, deny: [] },
    resp: { max: 10_000, ttl: REPLY_WINDOW_NS },
  });
}

/**
 * A server may answer what it is asked, ask for its own spec, tell its own status and events; the git server also hands in
 * pushes and hears of deployments. Nothing else. Two things hold for all servers together, since the broker lets whoever has heard a
 * message answer it, and nobody checks which subject a message names for that: what one may publish no server hears, or two in
 * wrong hands could give each other any right; and it lies in no stream, whose acknowledgements go wherever the message says.
 */
export function rightsOf({ server, roles }: ServerIdentity): { publish: string[]; subscribe: string[] } {
  const isGit = roles.includes("git");
  const own = [subjects.handIn(server, "spec"), subjects.handIn(server, "event"), subjects.status(server)];
  const heard = [subjects.requestsOf(server), subjects.nudge(server), `${subjects.inboxOf(server)}.>`];
  return {
    publish: isGit ? [...own, subjects.handIn(server, "push")] : own,
    subscribe: isGit ? [...heard, subjects.deploymentNews] : heard,
  };
}

/** The form of these rights: raised with every change, so that keys of an older form are renewed. */
export const RIGHTS = 2;

/** Whether credentials give a server the rights that it should have. */
export function hasRights({ jwt }: Credentials, server: ServerIdentity): boolean {
  const { nats } = JSON.parse(Buffer.from(jwt.split(".")[1] ?? "", "base64url").toString()) as { nats: Partial<User> };
  const { publish, subscribe } = rightsOf(server);
  return isDeepStrictEqual([nats.pub?.allow, nats.sub?.allow], [publish, subscribe]);
}

/** The control plane may do everything in the yard's account. */
export async function credentialsForControl(keys: YardKeys): Promise<Credentials> {
  const { seed, publicKey } = createBusKey();
  return { seed, jwt: await signUser(keys.accountSeed, "control", publicKey, {}) };
}

/** The broker's own account: for what concerns accounts. */
export async function credentialsForSystem(keys: YardKeys): Promise<Credentials> {
  const { seed, publicKey } = createBusKey();
  return { seed, jwt: await signUser(keys.systemSeed, "system", publicKey, {}) };
}

/** The yard's account as the broker knows it: without limits, and without users whose keys are revoked. */
export async function encodeYardAccount(keys: YardKeys, revoked: readonly RevokedKey[] = []): Promise<string> {
  const storage = { mem_storage: -1, disk_storage: -1, streams: -1, consumer: -1 };
  const revocations = Object.fromEntries(revoked.map(({ publicKey, at }) => [publicKey, Math.ceil(at.getTime() / 1000)]));
  const claims = { limits: { ...UNLIMITED, ...storage }, revocations };
  return encodeAccount("yard", keyOf(keys.accountSeed), claims, { signer: keyOf(keys.operatorSeed) });
}

const UNLIMITED = { conn: -1, subs: -1, data: -1, payload: -1, imports: -1, exports: -1, wildcards: true, leaf: -1 };

/** What the yard's brokers trust. Signatures differ each time although they say the same: made once for a yard, and kept. */
export async function createBrokerTrust(keys: YardKeys): Promise<BrokerTrust> {
  const [operator, account, system] = [keyOf(keys.operatorSeed), keyOf(keys.accountSeed), keyOf(keys.systemSeed)];
  return {
    operatorJwt: await encodeOperator("boxyard", operator, { system_account: system.getPublicKey() }),
    account: account.getPublicKey(),
    accountJwt: await encodeYardAccount(keys),
    system: system.getPublicKey(),
    systemJwt: await encodeAccount("system", system, { limits: UNLIMITED }, { signer: operator }),
  };
}

function signUser(accountSeed: string, name: string, publicKey: string, permissions: object): Promise<string> {
  return encodeUser(name, publicKey, keyOf(accountSeed), { subs: -1, data: -1, payload: -1, ...permissions });
}

const pairs = new Map<string, KeyPair>();

/** Made once for each seed: the yard's own keys sign every credential. */
function keyOf(seed: string): KeyPair {
  const known = pairs.get(seed) ?? signingNatively(fromSeed(new TextEncoder().encode(seed)));
  pairs.set(seed, known);
  return known;
}
