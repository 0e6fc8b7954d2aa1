import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { ServerPlan } from "#contract/spec/server.ts";
import { NO_SOURCES, USUAL_LIMITS } from "#contract/work-settings.ts";
import { planYard } from "./plan.ts";
import type { PlannedServer, PlannedWebsite, YardRows } from "./rows.ts";

const BACKENDS: PlannedServer[] = (["control", "edge", "git", "database"] as const).map((role, index) => ({
  name: `${role}1`,
  roles: [role],
  cluster: null,
  address: `10.77.0.${2 + index}`,
  state: "present",
  host_key: role === "git" ? { privateKey: "git-host-key" } : null,
  fence: null,
}));

function clusterServers(number: number, boxes: number): PlannedServer[] {
  const cluster = `c${number}`;
  const server = (suffix: string, role: "cache" | "shell" | "box", host: number): PlannedServer => ({
    name: `${cluster}${suffix}`,
    roles: [role],
    cluster,
    address: `10.77.${number}.${host}`,
    state: "present",
    host_key: role === "shell" ? { privateKey: `host-key-of-${cluster}s` } : null,
    fence: null,
  });
  return [
    server("v1", "cache", 1),
    server("v2", "cache", 2),
    server("s", "shell", 3),
    ...Array.from({ length: boxes }, (_, n) => server(`b${n + 1}`, "box", 10 + n)),
  ];
}

function website(number: number, cluster: number, aliases: number): PlannedWebsite {
  const secret = (what: string) => `secret-${what}-of-s${number}-on-c${cluster}-end`;
  const domain = (name: string, kind: "main" | "alias") => ({ name, kind, chain_pem: "chain", key_pem: secret("tls") });
  return {
    id: `s${number}`,
    cluster: `c${cluster}`,
    environment: "production",
    branch: "main",
    hash_salt: secret("salt"),
    processing_units: 8,
    release: null,
    release_decision: 0,
    good_releases: [],
    domains: [
      domain(`www.s${number}.test`, "main"),
      ...Array.from({ length: aliases }, (_, n) => domain(`alias${n}.s${number}.test`, "alias")),
    ],
    databases: [{ name: `db${number}`, password: secret("database") }],
    keys: [{ public_key: `ssh-ed25519 AAAA owner-of-s${number}` }],
  };
}

const clusterSizes = fc.array(fc.integer({ min: 1, max: 5 }), { minLength: 1, maxLength: 4 });
const yards: fc.Arbitrary<YardRows> = clusterSizes.chain((sizes) =>
  fc
    .array(fc.record({ cluster: fc.integer({ min: 1, max: sizes.length }), aliases: fc.integer({ min: 0, max: 3 }) }), { maxLength: 8 })
    .map((websites) => ({
      yard: "test",
      policy: {},
      limits: USUAL_LIMITS,
      packages: NO_SOURCES,
      servers: [...BACKENDS, ...sizes.flatMap((boxes, index) => clusterServers(index + 1, boxes))],
      websites: websites.map(({ cluster, aliases }, index) => website(index + 1, cluster, aliases)),
      defaultCertificate: { chainPem: "default", keyPem: "default-key" },
      brokers: ["tls://10.77.0.2:4222"],
      broker: null,
    })),
);

function edgeOf(rows: YardRows) {
  const edge = planYard(rows).find((plan) => plan.server === "edge1")?.roles.edge;
  if (edge === undefined) throw new Error("no edge");
  return edge;
}

describe("planYard", () => {
  test("makes plans that the contract accepts, one for each server", () => {
    fc.assert(
      fc.property(yards, (rows) => {
        const plans = planYard(rows);
        expect(plans.map((plan) => plan.server).sort()).toEqual(rows.servers.map((server) => server.name).sort());
        for (const plan of plans) expect(ServerPlan.safeParse(plan).error).toBeUndefined();
      }),
    );
  });

  test("routes every domain to exactly one cluster, the website's own", () => {
    fc.assert(
      fc.property(yards, (rows) => {
        const routed = edgeOf(rows).domains;
        for (const site of rows.websites) {
          for (const { name } of site.domains)
            expect(routed.filter((domain) => domain.name === name).map((domain) => domain.cluster)).toEqual([site.cluster]);
        }
        expect(routed).toHaveLength(rows.websites.flatMap((site) => site.domains).length);
      }),
    );
  });

  test("gives no server of a cluster anything of another cluster", () => {
    fc.assert(
      fc.property(yards, (rows) => {
        for (const plan of planYard(rows)) {
          const cluster = /^(c\d+)/.exec(plan.server)?.[1];
          if (cluster === undefined || plan.server === "control1") continue;
          const text = JSON.stringify(plan);
          for (const site of rows.websites) if (site.cluster !== cluster) expect(text).not.toContain(`-of-${site.id}-on-`);
          for (const other of rows.servers)
            if (other.cluster !== null && other.cluster !== cluster) expect(text).not.toContain(`"${other.address}"`);
        }
      }),
    );
  });

  test("gives the edge no secret but the keys of certificates, and caches none at all", () => {
    fc.assert(
      fc.property(yards, (rows) => {
        for (const { server, roles } of planYard(rows)) {
          if (roles.edge !== undefined) expect(JSON.stringify(roles)).not.toMatch(/secret-(salt|database)/);
          if (roles.cache !== undefined) expect(JSON.stringify(roles), server).not.toContain("secret-");
        }
      }),
    );
  });

  test("gives the same plans for the same rows in any order", () => {
    const shuffled = yards.chain((rows) =>
      fc.tuple(
        fc.constant(rows),
        fc.shuffledSubarray([...rows.servers], { minLength: rows.servers.length }),
        fc.shuffledSubarray([...rows.websites], { minLength: rows.websites.length }),
      ),
    );
    fc.assert(
      fc.property(shuffled, ([rows, servers, websites]) => {
        expect(planYard({ ...rows, servers, websites })).toEqual(planYard(rows));
      }),
    );
  });

  test("changes no other cluster's plans when a box is added", () => {
    fc.assert(
      fc.property(yards, (rows) => {
        const added = { ...clusterServers(1, 6).at(-1), name: "c1b9", address: "10.77.1.99" } as PlannedServer;
        const after = new Map(planYard({ ...rows, servers: [...rows.servers, added] }).map((plan) => [plan.server, plan]));
        for (const plan of planYard(rows)) if (/^c[2-9]/.test(plan.server)) expect(after.get(plan.server)).toEqual(plan);
      }),
    );
  });

  test("never leaves a cluster without both caches at the edge, and never balances over a leaving box", () => {
    fc.assert(
      fc.property(yards, (rows) => {
        const servers = rows.servers.map((server) => (server.name === "c1b1" ? { ...server, state: "leaving" as const } : server));
        const plans = planYard({ ...rows, servers });
        for (const { caches } of plans.find((plan) => plan.server === "edge1")?.roles.edge?.clusters ?? []) expect(caches).toHaveLength(2);
        const balanced = plans.flatMap((plan) => plan.roles.cache?.boxes ?? []).map((box) => box.name);
        expect(balanced).not.toContain("c1b1");
        expect(plans.find((plan) => plan.server === "c1b1")?.roles.box).toBeDefined();
      }),
    );
  });
});
