import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Role } from "#contract/names.ts";
import { kindOf, pickNext, type WaveServer } from "./pick.ts";

const WELL = { isWaiting: true, isThere: true, isWell: true, isInRotation: true };
const server = (name: string, role: Role, cluster: string | null, more: Partial<WaveServer> = {}): WaveServer => ({
  ...{ name, roles: [role], cluster, ...WELL },
  ...more,
});
const cluster = (id: string, more: Record<string, Partial<WaveServer>> = {}): WaveServer[] => [
  server(`${id}b1`, "box", id, more["b1"]),
  server(`${id}b2`, "box", id, more["b2"]),
  server(`${id}v1`, "cache", id, more["v1"]),
  server(`${id}v2`, "cache", id, more["v2"]),
];
const none = new Set<string>();
const both = new Set(["box", "cache"]);

describe("who restarts next", () => {
  test("is one of each kind at first", () => {
    const servers = [...cluster("c1"), ...cluster("c2"), server("db1", "database", null)];
    expect(pickNext(servers, none)).toEqual(["c1b1", "c1v1", "db1"]);
  });

  test("is one of each kind and cluster when the first of its kind has done it", () => {
    const servers = [...cluster("c1", { b1: { isWaiting: false }, v1: { isWaiting: false } }), ...cluster("c2")];
    expect(pickNext(servers, both)).toEqual(["c1b2", "c1v2", "c2b1", "c2v1"]);
  });

  test.each([
    ["away", { isThere: false, isWell: false }],
    ["faulty", { isWell: false }],
    ["out of rotation", { isInRotation: false }],
  ])("is nobody whose only other one is %s", (_what, more) => {
    expect(pickNext(cluster("c1", { v2: { ...more, isWaiting: false } }), both)).toEqual(["c1b1"]);
  });

  test("may be one that is faulty itself, or gets no visitors, and is none that is away", () => {
    const servers = cluster("c1", {
      v1: { isWell: false, isInRotation: false },
      b1: { isThere: false, isWell: false },
      b2: { isWaiting: false },
    });
    expect(pickNext(servers, both)).toEqual(["c1v1"]);
  });

  test("leaves each cluster one of each kind that serves, whoever waits and whoever is not well", () => {
    const any = fc.record({ isWaiting: fc.boolean(), isThere: fc.boolean(), isWell: fc.boolean(), isInRotation: fc.boolean() });
    const servers = fc
      .array(fc.tuple(fc.constantFrom("box", "cache", "database" as const), fc.constantFrom("c1", "c2", null), any), { maxLength: 12 })
      .map((list) =>
        list.map(([role, of, more], nth) => server(`x${nth}`, role as Role, of, { ...more, isWell: more.isWell && more.isThere })),
      );
    const kinds = fc.subarray(["box", "cache", "database"]).map((list) => new Set(list));
    fc.assert(
      fc.property(servers, kinds, (all, tried) => {
        const picked = all.filter(({ name }) => pickNext(all, tried).includes(name));
        for (const one of picked) {
          const peers = all.filter((peer) => peer !== one && peer.cluster === one.cluster && kindOf(peer) === kindOf(one));
          expect(peers.every((peer) => peer.isWell && peer.isInRotation && !picked.includes(peer))).toBe(true);
          expect([one.isWaiting, one.isThere]).toEqual([true, true]);
        }
        for (const kind of ["box", "cache", "database"])
          if (!tried.has(kind)) expect(picked.filter((one) => kindOf(one) === kind).length).toBeLessThanOrEqual(1);
      }),
    );
  });

  test("comes to an end: when all are well everybody has restarted, never two of a pair at once", () => {
    const all = [...cluster("c1"), ...cluster("c2"), ...cluster("c3"), server("edge1", "edge", null)];
    const done = new Set<string>();
    const tried = new Set<string>();
    let steps = 0;
    for (; done.size < all.length && steps < 20; steps++) {
      const now = all.map((one) => ({ ...one, isWaiting: !done.has(one.name) }));
      for (const name of pickNext(now, tried)) {
        done.add(name);
        tried.add(kindOf(all.find((one) => one.name === name) as WaveServer));
      }
    }
    expect([done.size, steps]).toEqual([all.length, 3]);
  });
});
