import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { ServerPlan } from "#contract/spec/server.ts";
import { hostKeyOf, ROUTE_PASSWORD, secretOf, yards } from "#harness/yards.ts";
import { planYard } from "./plan.ts";
import type { PlannedServer, PlannedWebsite, YardRows } from "./rows.ts";

/** Holds for any yard. */
function holds(property: (rows: YardRows, plans: readonly ServerPlan[]) => void): void {
  fc.assert(fc.property(yards, (rows) => property(rows, planYard(rows))));
}

/** What the rows say, asked in another way than the planner does: lists in the order of c2 before c10. */
const byNumber = new Intl.Collator("en", { numeric: true }).compare;
const inOrder = <T>(list: readonly T[], key: (one: T) => string): T[] => [...list].sort((a, b) => byNumber(key(a), key(b)));
const staying = (rows: YardRows, role: PlannedServer["roles"][number], cluster: string | null = null): PlannedServer[] =>
  inOrder(rows.servers, ({ name }) => name).filter(
    (server) => server.state === "present" && server.roles.includes(role) && server.cluster === cluster,
  );
const visited = (rows: YardRows, role: "box" | "cache", cluster: string) =>
  staying(rows, role, cluster).flatMap(({ name, address, fence }) => (fence === null ? [{ name, address }] : []));
const carriersOf = (rows: YardRows, cluster: string) => [...staying(rows, "box", cluster), ...staying(rows, "shell", cluster)];
const addresses = (servers: readonly PlannedServer[]) => servers.map(({ address }) => address);
const websitesOf = (rows: YardRows, cluster: string) => inOrder(rows.websites, ({ id }) => id).filter((site) => site.cluster === cluster);
const serverNamed = (rows: YardRows, name: string) => rows.servers.find((server) => server.name === name) as PlannedServer;

/** Every server that carries websites, with what it is told of them. */
function carried(rows: YardRows, plans: readonly ServerPlan[]) {
  return plans.flatMap(({ server, roles }) => {
    const { cluster } = serverNamed(rows, server);
    return [roles.box, roles.shell].flatMap((role) =>
      role === undefined || cluster === null ? [] : [{ server, cluster, role, websites: role.websites }],
    );
  });
}

describe("the generator", () => {
  test("makes every kind of row that the planner tells apart, often", () => {
    const sample = fc.sample(yards, { numRuns: 150, seed: 1 });
    const share = (kind: (rows: YardRows) => boolean) => sample.filter(kind).length / sample.length;
    const kinds: Record<string, (rows: YardRows) => boolean> = {
      "a fenced box": ({ servers }) => servers.some(({ roles, fence }) => roles.includes("box") && fence !== null),
      "a fenced cache": ({ servers }) => servers.some(({ roles, fence }) => roles.includes("cache") && fence !== null),
      "a leaving box": ({ servers }) => servers.some(({ roles, state }) => roles.includes("box") && state === "leaving"),
      "a server that is being deleted": ({ servers }) => servers.some(({ state }) => state === "deleting"),
      "several clusters": ({ servers }) => new Set(servers.map(({ cluster }) => cluster)).size > 2,
      "several control servers": ({ servers }) => servers.filter(({ roles }) => roles.includes("control")).length > 1,
      "several database servers": ({ servers }) => servers.filter(({ roles }) => roles.includes("database")).length > 1,
      "no git server": ({ servers }) => !servers.some(({ roles }) => roles.includes("git")),
      "a builder": ({ servers }) => servers.some(({ roles }) => roles.includes("builder")),
      "a release": ({ websites }) => websites.some(({ release }) => release !== null),
      "more good releases than are kept": ({ websites }) => websites.some(({ good_releases }) => good_releases.length > 5),
      "a redirect domain with a main one": ({ websites }) =>
        websites.some(({ domains }) => ["main", "redirect"].every((kind) => domains.some((domain) => domain.kind === kind))),
      "a redirect domain without a main one": ({ websites }) =>
        websites.some(({ domains }) => domains.some(({ kind }) => kind === "redirect") && !domains.some(({ kind }) => kind === "main")),
      "several databases of a website": ({ websites }) => websites.some(({ databases }) => databases.length > 1),
      "several keys of a website": ({ websites }) => websites.some(({ keys }) => keys.length > 1),
    };
    for (const [name, kind] of Object.entries(kinds)) expect(share(kind), name).toBeGreaterThan(0.05);
  });
});

describe("planYard", () => {
  test("makes a plan that the contract accepts for each server, but for those that are being deleted", () => {
    holds((rows, plans) => {
      const kept = rows.servers.filter(({ state }) => state !== "deleting").map(({ name }) => name);
      expect(plans.map((plan) => plan.server).sort()).toEqual(kept.sort());
      for (const plan of plans) expect(ServerPlan.safeParse(plan).error).toBeUndefined();
    });
  });

  test("gives each server the yard, its own address, all brokers, and who may ask it for what", () => {
    holds((rows, plans) => {
      for (const plan of plans) {
        const { address } = serverNamed(rows, plan.server);
        expect(plan).toMatchObject({ yard: rows.yard, address, brokers: rows.brokers, policy: rows.policy });
      }
    });
  });

  test("gives each server the roles of its row and no others, a leaving one too", () => {
    holds((rows, plans) => {
      for (const { server, roles } of plans) {
        const row = serverNamed(rows, server);
        const expected = row.roles.filter(
          (role) =>
            (role !== "builder" || rows.websites.some(({ id }) => server === `${id}x`)) && (role !== "broker" || rows.broker !== null),
        );
        expect(Object.keys(roles).sort()).toEqual([...expected].sort());
        if (roles.broker !== undefined) expect(roles.broker).toEqual(rows.broker);
      }
    });
  });

  test("gives the same plans for the same rows in any order", () => {
    const shuffled = yards.chain((rows) =>
      fc.tuple(
        fc.constant(rows),
        fc.shuffledSubarray([...rows.servers], { minLength: rows.servers.length }),
        fc.shuffledSubarray([...rows.websites], { minLength: rows.websites.length }),
      ),
    );
    /** Also what belongs to a website comes from the store in no order. */
    const reversed = (site: PlannedWebsite): PlannedWebsite => ({
      ...site,
      domains: [...site.domains].reverse(),
      databases: [...site.databases].reverse(),
      keys: [...site.keys].reverse(),
    });
    fc.assert(
      fc.property(shuffled, ([rows, servers, websites]) => {
        expect(planYard({ ...rows, servers, websites: websites.map(reversed) })).toEqual(planYard(rows));
      }),
    );
  });

  test("changes no other cluster's plans when a box is added", () => {
    holds((rows, plans) => {
      const [cluster] = rows.servers.flatMap((server) => server.cluster ?? []);
      const like = rows.servers.find((server) => server.cluster === cluster && server.roles.includes("box")) as PlannedServer;
      const added = { ...like, name: `${cluster}b99`, address: "10.79.0.1", state: "present" } as const;
      const after = new Map(planYard({ ...rows, servers: [...rows.servers, added] }).map((plan) => [plan.server, plan]));
      for (const plan of plans) {
        const own = serverNamed(rows, plan.server).cluster;
        if (own !== null && own !== cluster) expect(after.get(plan.server)).toEqual(plan);
      }
    });
  });
});

describe("who is in rotation", () => {
  test("caches send visitors to exactly the boxes of their cluster that stay and are not fenced", () => {
    holds((rows, plans) => {
      for (const { server, roles } of plans) {
        if (roles.cache === undefined) continue;
        const { cluster } = serverNamed(rows, server);
        expect(roles.cache).toMatchObject({ cluster, varnishMegabytes: 128, memcachedMegabytes: 64 });
        expect(roles.cache.boxes).toEqual(visited(rows, "box", cluster ?? ""));
      }
    });
  });

  test("edges send visitors to exactly the caches that stay and are not fenced, of every cluster that has one", () => {
    holds((rows, plans) => {
      const clusters = [...new Set(rows.servers.flatMap(({ cluster }) => cluster ?? []))]
        .map((id) => ({ id, caches: visited(rows, "cache", id) }))
        .filter(({ caches }) => caches.length > 0);
      for (const { roles } of plans) {
        if (roles.edge === undefined) continue;
        expect(inOrder(roles.edge.clusters, ({ id }) => id)).toEqual(inOrder(clusters, ({ id }) => id));
      }
    });
  });

  test("a fenced or leaving server keeps its own websites", () => {
    holds((rows, plans) => {
      for (const { server, cluster, websites } of carried(rows, plans))
        expect(
          websites.map(({ id }) => id),
          server,
        ).toEqual(websitesOf(rows, cluster).map(({ id }) => id));
    });
  });
});

describe("who may reach what", () => {
  test("a database is open to the boxes and shells of its website's cluster that stay, and there is no other", () => {
    holds((rows, plans) => {
      const expected = inOrder(
        rows.websites.flatMap(({ cluster, databases }) =>
          databases.map(({ name, password }) => ({
            ...{ name, user: name, password, clients: addresses(carriersOf(rows, cluster)) },
            connections: expect.any(Number),
          })),
        ),
        ({ name }) => name,
      );
      for (const { roles } of plans) if (roles.database !== undefined) expect(roles.database).toEqual({ port: 3306, databases: expected });
    });
  });

  test("caches believe edges alone, and let the boxes and shells of their own cluster alone purge", () => {
    holds((rows, plans) => {
      for (const { roles } of plans) {
        if (roles.cache === undefined) continue;
        expect(roles.cache.edges).toEqual(addresses(staying(rows, "edge")));
        expect(roles.cache.purgers).toEqual(addresses(carriersOf(rows, roles.cache.cluster)));
      }
    });
  });

  test("boxes take visitors from the caches of their cluster alone", () => {
    holds((rows, plans) => {
      for (const { roles } of plans)
        if (roles.box !== undefined) expect(roles.box.caches).toEqual(addresses(staying(rows, "cache", roles.box.cluster)));
    });
  });

  test("a repository is read by the boxes and shells of its website's cluster, brought releases by its own builder, pushed to with its keys", () => {
    holds((rows, plans) => {
      for (const { server, roles } of plans) {
        if (roles.git === undefined) continue;
        expect(roles.git).toMatchObject({ hostKey: hostKeyOf(server), packPort: 8440, limits: rows.limits });
        expect(roles.git.websites.map(({ id }) => id)).toEqual(inOrder(rows.websites, ({ id }) => id).map(({ id }) => id));
        for (const planned of roles.git.websites) {
          const site = rows.websites.find(({ id }) => id === planned.id) as PlannedWebsite;
          const builder = staying(rows, "builder", site.cluster).find(({ name }) => name === `${site.id}x`)?.name ?? null;
          expect(planned.readers).toEqual(carriersOf(rows, site.cluster).map(({ name }) => name));
          expect(planned.builder).toBe(builder);
          expect(planned.authorizedKeys).toEqual(site.keys.map((key) => key.public_key).sort());
          expect(planned).toMatchObject({ branch: site.branch, environment: site.environment, uid: 20_000 + Number(site.id.slice(1)) });
        }
      }
    });
  });

  test("a shell lets in the holders of each website's keys, and shows its own host key", () => {
    holds((rows, plans) => {
      for (const { server, roles } of plans) {
        if (roles.shell === undefined) continue;
        expect(roles.shell).toMatchObject({ hostKey: hostKeyOf(server), limits: rows.limits });
        for (const { id, authorizedKeys } of roles.shell.websites)
          expect(authorizedKeys).toEqual((rows.websites.find((site) => site.id === id)?.keys ?? []).map((key) => key.public_key).sort());
      }
    });
  });

  test("servers know the backends and their own cluster, and nobody knows another cluster, a builder, or who leaves", () => {
    holds((rows, plans) => {
      for (const { server, neighbours } of plans) {
        const own = serverNamed(rows, server);
        const isKnown = (other: PlannedServer) =>
          other.name !== server &&
          other.state === "present" &&
          !other.roles.includes("builder") &&
          (other.cluster === null || (other.cluster === own.cluster && !own.roles.includes("builder")));
        const expected = inOrder(rows.servers.filter(isKnown), ({ name }) => name).map(({ name, address }) => ({ name, address }));
        expect(neighbours, server).toEqual(expected);
      }
    });
  });

  test("a builder has its website's source, the yard's limits and sources of packages, and its network to keep away from", () => {
    holds((rows, plans) => {
      for (const { server, roles } of plans) {
        if (roles.builder === undefined) continue;
        const site = rows.websites.find(({ id }) => server === `${id}x`) as PlannedWebsite;
        const { limits, packages } = rows;
        const expected = { website: site.id, environment: site.environment, network: "10.78.0.0/24", limits, packages };
        expect(roles.builder).toEqual({ ...expected, git: gitOf(rows) });
      }
    });
  });
});

function gitOf(rows: YardRows) {
  const [git] = staying(rows, "git");
  return { server: git?.name ?? "git1", address: git?.address ?? "127.0.0.1", port: 8440 };
}

describe("what a server is told of a website", () => {
  test("is its release, the decision about it and the releases to go back to, on exactly the servers that carry it", () => {
    holds((rows, plans) => {
      const carriers = carried(rows, plans);
      expect(carriers.map(({ server }) => server).sort()).toEqual(
        rows.servers
          .filter(({ roles, state }) => state !== "deleting" && (roles.includes("box") || roles.includes("shell")))
          .map(({ name }) => name)
          .sort(),
      );
      const git = plans.flatMap(({ roles }) => roles.git?.websites ?? []);
      for (const site of rows.websites) {
        // The live one counts as the newest good one at once, each counts once, and no more than five are kept.
        const all = site.release === null ? [] : [site.release];
        for (const release of site.good_releases) if (!all.includes(release)) all.push(release);
        const expected = { release: site.release, goodReleases: all.slice(0, 5) };
        const told = carriers
          .filter(({ cluster }) => cluster === site.cluster)
          .map(({ websites }) => websites.find(({ id }) => id === site.id));
        for (const one of told) expect(one).toMatchObject({ ...expected, decision: site.release_decision });
        for (const one of git) if (one.id === site.id) expect(one).toMatchObject(expected);
      }
    });
  });

  test("is where its databases, its memcached and its proxies are, and what it is", () => {
    holds((rows, plans) => {
      const [database] = staying(rows, "database");
      for (const { cluster, role, websites } of carried(rows, plans)) {
        const caches = staying(rows, "cache", cluster);
        expect(role).toMatchObject({ cluster, git: gitOf(rows) });
        for (const planned of websites) {
          const site = rows.websites.find(({ id }) => id === planned.id) as PlannedWebsite;
          const databases = inOrder(database === undefined ? [] : site.databases, ({ name }) => name).map(({ name, password }) => ({
            name,
            user: name,
            password,
            host: database?.address,
            port: 3306,
          }));
          expect(planned).toMatchObject({
            uid: 20_000 + Number(site.id.slice(1)),
            environment: site.environment,
            branch: site.branch,
            databases,
            memcached: addresses(caches).map((host) => ({ host, port: 11211 })),
            trustedProxies: [...addresses(staying(rows, "edge")), ...addresses(caches)],
            hashSalt: secretOf("salt", site),
            processingUnits: site.processing_units,
          });
        }
      }
    });
  });

  test("is its domains, the main one first, aliases before redirects", () => {
    const rank = { main: 0, alias: 1, redirect: 2 };
    holds((rows, plans) => {
      for (const { id, domains } of carried(rows, plans).flatMap(({ websites }) => websites)) {
        const own = rows.websites.find((site) => site.id === id)?.domains ?? [];
        const expected = inOrder(own, ({ name }) => name).sort((a, b) => rank[a.kind] - rank[b.kind]);
        expect(domains).toEqual(expected.map(({ name, kind }) => ({ name, kind })));
      }
    });
  });
});

describe("what an edge is told", () => {
  const edges = (plans: readonly ServerPlan[]) => plans.flatMap(({ roles }) => roles.edge ?? []);

  test("is every domain once, with its website and cluster; redirects lead to the main domain of the same website", () => {
    holds((rows, plans) => {
      const expected = rows.websites.flatMap((site) => {
        const main = site.domains.find(({ kind }) => kind === "main")?.name ?? null;
        return site.domains.map(({ name, kind }) => ({
          name,
          cluster: site.cluster,
          website: site.id,
          redirectTo: kind === "redirect" ? main : null,
        }));
      });
      for (const edge of edges(plans)) expect(edge.domains).toEqual(inOrder(expected, ({ name }) => name));
    });
  });

  test("is a certificate for each domain, in the same order, and the default one", () => {
    holds((rows, plans) => {
      const expected = rows.websites.flatMap((site) =>
        site.domains.map(({ name, chain_pem: chainPem, key_pem: keyPem }) => ({ domain: name, chainPem, keyPem })),
      );
      for (const edge of edges(plans)) {
        expect(edge.certificates).toEqual(inOrder(expected, ({ domain }) => domain));
        expect(edge.defaultCertificate).toEqual(rows.defaultCertificate);
      }
    });
  });
});

describe("secrets", () => {
  /** Which of the yard's secrets a server may hold. */
  function mayHold(rows: YardRows, { name, roles, cluster }: PlannedServer): Set<string> {
    const may = new Set<string>();
    const add = (whats: readonly Parameters<typeof secretOf>[0][], websites: readonly PlannedWebsite[]) => {
      for (const what of whats) for (const site of websites) may.add(secretOf(what, site));
    };
    if (roles.includes("edge")) {
      add(["tls"], rows.websites);
      may.add(rows.defaultCertificate.keyPem);
    }
    if (roles.includes("database")) add(["database"], rows.websites);
    if (roles.includes("box") || roles.includes("shell")) add(["salt", "database"], websitesOf(rows, cluster ?? ""));
    if (roles.includes("git") || roles.includes("shell")) may.add(hostKeyOf(name));
    if (roles.includes("broker")) may.add(ROUTE_PASSWORD);
    return may;
  }

  test("stand only where they are needed", () => {
    holds((rows, plans) => {
      for (const plan of plans) {
        const may = mayHold(rows, serverNamed(rows, plan.server));
        const held = JSON.stringify(plan.roles).match(/secret-[a-z0-9-]+-end/g) ?? [];
        expect(
          held.filter((secret) => !may.has(secret)),
          plan.server,
        ).toEqual([]);
      }
    });
  });

  test("and addresses of a cluster stand nowhere in another cluster's plans", () => {
    holds((rows, plans) => {
      for (const plan of plans) {
        const { cluster } = serverNamed(rows, plan.server);
        if (cluster === null) continue;
        const text = JSON.stringify(plan);
        for (const other of rows.servers)
          if (other.cluster !== null && other.cluster !== cluster) expect(text).not.toContain(`"${other.address}"`);
      }
    });
  });
});
