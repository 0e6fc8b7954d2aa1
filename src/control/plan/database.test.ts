import fc from "fast-check";
import { expect, test } from "vitest";
import { NO_SOURCES, USUAL_LIMITS } from "#contract/work-settings.ts";
import { planDatabase } from "./database.ts";
import type { PlannedServer, PlannedWebsite } from "./rows.ts";
import { Yard } from "./yard.ts";

/** What MariaDB grants to all websites together. */
const CONNECTIONS = 300;

/** A yard of one cluster with one website. */
function yardOf(carriers: number, databases: number): Yard {
  const servers = Array.from(
    { length: carriers },
    (_, n): PlannedServer => ({
      name: n === 0 ? "c1s" : `c1b${n}`,
      roles: [n === 0 ? "shell" : "box"],
      cluster: "c1",
      address: `10.77.1.${n}`,
      state: "present",
      host_key: null,
      fence: null,
    }),
  );
  const website: PlannedWebsite = {
    id: "s1",
    cluster: "c1",
    environment: "production",
    branch: "main",
    hash_salt: "salt",
    processing_units: 8,
    release: null,
    release_decision: 0,
    good_releases: [],
    domains: [],
    databases: Array.from({ length: databases }, (_, n) => ({ name: `db${n + 1}`, password: "secret" })),
    keys: [],
  };
  return new Yard({
    yard: "test",
    policy: {},
    limits: USUAL_LIMITS,
    packages: NO_SOURCES,
    servers,
    websites: [website],
    defaultCertificate: { chainPem: "default", keyPem: "default-key" },
    brokers: ["tls://10.77.0.2:4222"],
    broker: null,
  });
}

const perUser = (carriers: number, databases = 1): number => planDatabase(yardOf(carriers, databases)).databases[0]?.connections ?? 0;

test("no website gets more than two thirds of the connections, however many servers and databases it has", () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 100 }), fc.integer({ min: 1, max: 2 }), (carriers, count) => {
      const all = planDatabase(yardOf(carriers, count)).databases.reduce((sum, one) => sum + one.clients.length * one.connections, 0);
      expect(all).toBeLessThanOrEqual((CONNECTIONS * 2) / 3);
    }),
  );
});

test.each([
  { carriers: 2, databases: 1, each: 40, all: 80 },
  { carriers: 3, databases: 1, each: 33, all: 99 },
  { carriers: 3, databases: 2, each: 16, all: 96 },
  { carriers: 10, databases: 1, each: 10, all: 100 },
  { carriers: 20, databases: 1, each: 10, all: 200 },
  { carriers: 40, databases: 1, each: 5, all: 200 },
])("on $carriers servers each user of a website with $databases databases has $each connections, $all in all", (row) => {
  expect(perUser(row.carriers, row.databases)).toBe(row.each);
  expect(row.each * row.carriers * row.databases).toBe(row.all);
});
