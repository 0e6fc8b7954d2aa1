import fc from "fast-check";
import type { DomainKind } from "#contract/domain.ts";
import type { Role } from "#contract/names.ts";
import type { BrokerSpec } from "#contract/spec/broker.ts";
import { NO_SOURCES, USUAL_LIMITS } from "#contract/work-settings.ts";
import type { PlannedServer, PlannedWebsite, YardRows } from "#control/plan/rows.ts";

/** A secret that tells by its text what it is and whose: `secret-salt-of-s1-on-c2-end`. */
export function secretOf(what: "salt" | "database" | "tls", { id, cluster }: { readonly id: string; readonly cluster: string }): string {
  return `secret-${what}-of-${id}-on-${cluster}-end`;
}

/** The private key of a server's SSH. */
export function hostKeyOf(server: string): string {
  return `secret-host-key-of-${server}-end`;
}

/** What the brokers show to each other. */
export const ROUTE_PASSWORD = "secret-route-password-end";

const state = fc.constantFrom<PlannedServer["state"]>("present", "present", "present", "present", "leaving", "deleting");
const fence = fc.constantFrom(null, null, null, "it has not switched");
const commit = fc.integer({ min: 1, max: 12 }).map((number) => number.toString(16).padStart(40, "0"));
const hostKeyRoles: readonly Role[] = ["git", "shell"];

interface ServerWant {
  readonly name: string;
  readonly roles: readonly Role[];
  readonly cluster: string | null;
  readonly address: string;
  /** Every member of a kind is there to stay when it must be. */
  readonly isFixed?: boolean;
}

function server({ name, roles, cluster, address, isFixed = false }: ServerWant): fc.Arbitrary<PlannedServer> {
  const host_key = roles.some((role) => hostKeyRoles.includes(role)) ? { privateKey: hostKeyOf(name) } : null;
  const fixed = fc.record({ state: fc.constant("present" as const), fence: fc.constant(null) });
  const free = fc.record({ state, fence });
  return (isFixed ? fixed : free).map((more) => ({ name, roles, cluster, address, host_key, ...more }));
}

/** Control servers, edges, git and database servers: at least a control server, and any of the others may be missing or leave. */
const backends: fc.Arbitrary<PlannedServer[]> = fc
  .record({
    controls: fc.constantFrom(1, 1, 3),
    edges: fc.integer({ min: 0, max: 3 }),
    gits: fc.constantFrom(0, 1, 1, 1),
    databases: fc.constantFrom(0, 1, 1, 2),
  })
  .chain(({ controls, edges, gits, databases }) => {
    const some = (role: Role, count: number, network: number) =>
      Array.from({ length: count }, (_, n) => {
        const roles: Role[] = role === "control" && n > 0 ? ["control", "broker"] : [role];
        const name = `${role}${n + 1}`;
        return server({ name, roles, cluster: null, address: `10.70.${network}.${n + 1}`, isFixed: role === "control" });
      });
    return fc.tuple(...some("control", controls, 1), ...some("edge", edges, 2), ...some("git", gits, 3), ...some("database", databases, 4));
  });

/** Of clusters 1, 2, … and of one whose number has two digits. */
const NUMBERS = [1, 2, 3, 10];

function cluster(number: number): fc.Arbitrary<PlannedServer[]> {
  const name = `c${number}`;
  const counts = fc.record({
    boxes: fc.constantFrom(1, 2, 3, 11),
    caches: fc.integer({ min: 1, max: 3 }),
    shells: fc.constantFrom(0, 1, 1),
  });
  return counts.chain(({ boxes, caches, shells }) => {
    const some = (suffix: string, role: Role, count: number, from: number) =>
      Array.from({ length: count }, (_, n) =>
        server({ name: `${name}${suffix}${n + 1}`, roles: [role], cluster: name, address: `10.77.${number}.${from + n}` }),
      );
    return fc.tuple(...some("b", "box", boxes, 100), ...some("v", "cache", caches, 10), ...some("s", "shell", shells, 50));
  });
}

function website(number: number, clusters: readonly string[]): fc.Arbitrary<PlannedWebsite> {
  const id = `s${number}`;
  const kinds = fc.tuple(
    fc.constantFrom<DomainKind[]>([], ["main"], ["main"], ["main"]),
    fc.array(fc.constantFrom<DomainKind>("alias", "redirect"), { maxLength: 3 }),
  );
  return fc
    .record({
      cluster: fc.constantFrom(...clusters),
      environment: fc.constantFrom("production", "test"),
      branch: fc.constantFrom("main", "release/2"),
      processing_units: fc.integer({ min: 1, max: 16 }),
      release: fc.option(commit),
      release_decision: fc.integer({ min: 0, max: 9 }),
      good_releases: fc.uniqueArray(commit, { maxLength: 8 }),
      kinds,
      databases: fc.uniqueArray(fc.integer({ min: 1, max: 12 }), { maxLength: 3 }),
      keys: fc.uniqueArray(fc.integer({ min: 1, max: 12 }), { maxLength: 3 }),
    })
    .map(({ kinds: [main, others], databases, keys, ...rest }) => {
      const own = { id, cluster: rest.cluster };
      const domains = [...others, ...main].map((kind, n) => ({ name: `${kind}${n}.s${number}.test`, kind }));
      return {
        ...rest,
        id,
        hash_salt: secretOf("salt", own),
        domains: domains.map((domain) => ({ ...domain, chain_pem: `chain of ${domain.name}`, key_pem: secretOf("tls", own) })),
        databases: databases.map((n) => ({ name: `db${number * 100 + n}`, password: secretOf("database", own) })),
        keys: keys.map((n) => ({ public_key: `ssh-ed25519 AAAA key${n}-of-${id}` })),
      };
    });
}

/** A builder for some websites, and one that is left of a website that is gone. */
function builders(websites: readonly PlannedWebsite[]): fc.Arbitrary<PlannedServer[]> {
  const wanted = [...websites.map(({ id, cluster }) => ({ id, cluster })), { id: "s99", cluster: "c1" }];
  return fc.subarray(wanted).chain((chosen) =>
    fc.tuple(
      ...chosen.map(({ id, cluster }) =>
        server({ name: `${id}x`, roles: ["builder"], cluster, address: `10.78.0.${id.slice(1)}` }).map((one) => ({
          ...one,
          fence: null,
        })),
      ),
    ),
  );
}

const brokerSpec: BrokerSpec = {
  port: 4222,
  trust: { operatorJwt: "operator-jwt", account: "A", accountJwt: "account-jwt", system: "S", systemJwt: "system-jwt" },
  cluster: { name: "test", port: 6222, password: ROUTE_PASSWORD, members: [{ name: "control1", address: "10.70.1.1" }] },
};

/**
 * Rows of any yard: several clusters, servers that are fenced, leave or are being deleted, backends that are missing, websites
 * with and without releases, domains of all kinds, no, one or several databases and keys, and builders. Names are told from
 * each other by their text, and so are secrets: see `secretOf`, `hostKeyOf`.
 */
export const yards: fc.Arbitrary<YardRows> = fc
  .record({
    backends,
    clusters: fc.subarray(NUMBERS, { minLength: 1 }).chain((numbers) => fc.tuple(...numbers.map(cluster))),
    numbers: fc.uniqueArray(fc.constantFrom(1, 2, 3, 9, 10, 11), { maxLength: 6 }),
    limits: fc.constantFrom(USUAL_LIMITS, { ...USUAL_LIMITS, hookSeconds: 60 }),
    packages: fc.constantFrom(NO_SOURCES, { npmrc: "registry=https://npm.example/", authorities: "authority" }),
    policy: fc.constantFrom<YardRows["policy"]>({}, { ada: [{ actions: ["server.*"], target: { kind: "all" } }] }),
    brokers: fc.constantFrom(["tls://10.70.1.1:4222"], ["tls://10.70.1.1:4222", "tls://10.70.1.2:4222"]),
    broker: fc.constantFrom(null, brokerSpec),
  })
  .chain(({ backends, clusters, numbers, ...rest }) => {
    const servers = [...backends, ...clusters.flat()];
    const names = clusters.flatMap(([first]) => (first?.cluster ? [first.cluster] : []));
    return fc
      .tuple(...numbers.map((number) => website(number, names)))
      .chain((websites) => fc.tuple(fc.constant(websites), builders(websites)))
      .map(([websites, building]) => ({
        ...rest,
        yard: "test",
        servers: [...servers, ...building],
        websites,
        defaultCertificate: { chainPem: "default chain", keyPem: "secret-tls-of-nobody-end" },
      }));
  });
