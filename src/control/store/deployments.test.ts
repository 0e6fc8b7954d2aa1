import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { nowMicros, timestampOf } from "#base/clock.ts";
import { Deployment } from "#contract/deployment.ts";
import type { DeploymentEvent } from "#contract/events.ts";
import type { Push } from "#contract/push.ts";
import { startPostgres, type TestPostgres } from "#harness/postgres.ts";
import { pushWith } from "#harness/push.ts";
import {
  decideTurningBack,
  deploymentEvents,
  listDeployments,
  listUnsettled,
  listWebsitesUnderWay,
  markSettled,
  moveState,
  noteServers,
  readQueue,
  recordOrder,
  recordPush,
  showDeployment,
} from "./deployments.ts";
import type { Store } from "./schema.ts";
import { findWebsiteOnYard } from "./website-on-yard.ts";

const A = "a".repeat(40);
const B = "b".repeat(40);
let postgres: TestPostgres;
let store: Store;

beforeAll(async () => {
  postgres = await startPostgres();
});
afterAll(() => postgres.stop());
beforeEach(async () => {
  store = await postgres.emptyStore();
  await store.insertInto("cluster").values({ id: "c1" }).execute();
  await store
    .insertInto("website")
    .values({ id: "s1", cluster: "c1", environment: "production", branch: "main", hash_salt: "x", release: null })
    .execute();
});

function push(id: string, commit: string, second = 0): Push {
  const acceptedAt = `2026-11-23T08:00:${String(second).padStart(2, "0")}.123456Z`;
  return pushWith({ id, commit, acceptedAt });
}

function event(deployment: number, line: string): DeploymentEvent {
  const at = "2026-11-23T08:00:01.000001Z";
  return { kind: "deployment", at, deployment, website: "s1", push: "p1", commit: A, state: "staging", server: null, line };
}

async function recorded(): Promise<number> {
  await recordPush(store, push("p1", A));
  const [deployment] = await listDeployments(store, { website: "s1", limit: 10 });
  return deployment?.id ?? 0;
}

describe("a push", () => {
  test("is recorded once however often it comes, with its moment to the microsecond", async () => {
    expect(await recordPush(store, push("p1", A))).toBe(true);
    expect(await recordPush(store, push("p1", A))).toBe(true);
    const list = await listDeployments(store, { website: "s1", limit: 10 });
    expect(list).toHaveLength(1);
    expect(list[0]).toMatchObject({
      state: "received",
      commit: A,
      acceptedAt: "2026-11-23T08:00:00.123456Z",
      finishedAt: null,
      servers: [],
    });
    expect(Deployment.safeParse(list[0]).success).toBe(true);
  });

  test("for a website that the yard does not have is not recorded", async () => {
    expect(await recordPush(store, { ...push("p1", A), website: "s9" })).toBe(false);
    expect(await listDeployments(store, { limit: 10 })).toEqual([]);
  });

  test("stands in its website's queue by the moment it was accepted, not by the moment it arrived", async () => {
    await recordPush(store, push("later", B, 5));
    await recordPush(store, push("earlier", A, 1));
    expect((await readQueue(store, "s1")).open.map((one) => one.push)).toEqual(["earlier", "later"]);
    expect(await listWebsitesUnderWay(store)).toEqual(["s1"]);
  });
});

test("what is asked for when this clock was set back comes after all that is known", async () => {
  const future = nowMicros() + 300_000_000;
  await recordPush(store, push("p1", A));
  await store.updateTable("deployment").set({ accepted_at: future }).execute();
  await recordPush(store, push("p2", B));
  const order = { website: "s1", commit: A, kind: "rollback", caller: "anna", holdSeconds: null, needsBuild: false } as const;
  await recordOrder(store, order);
  const moments = (await readQueue(store, "s1")).open.map(({ id, acceptedAt }) => [id, acceptedAt]);
  expect(moments).toEqual([1, 2, 3].map((id) => [id, timestampOf(future + id - 1)]));
});

describe("a move", () => {
  test("changes state, release, servers and events together", async () => {
    const id = await recorded();
    const servers = [{ name: "c1b1", role: "box" as const, stagedAt: "2026-11-23T08:00:01.000001Z", error: null }];
    const release = { website: "s1", commit: A };
    expect(
      await moveState(store, { id, from: "received", to: "staging", previous: null, release, servers, events: [event(id, "one")] }),
    ).toBe(true);
    expect(await showDeployment(store, id)).toMatchObject({
      state: "staging",
      servers: [{ name: "c1b1", role: "box", stagedAt: "2026-11-23T08:00:01.000001Z", switchedAt: null, error: null }],
    });
    expect((await findWebsiteOnYard(store, "s1"))?.release).toBe(A);
    expect(await deploymentEvents(store, id, 0)).toEqual({ events: [event(id, "one")], isFinal: false });
  });

  test("from a state that it has left changes nothing", async () => {
    const id = await recorded();
    expect(await moveState(store, { id, from: "received", to: "staging" })).toBe(true);
    const late = {
      id,
      from: "received",
      to: "failed",
      reason: "late",
      finishedAtMicros: 1,
      release: { website: "s1", commit: B },
    } as const;
    expect(await moveState(store, { ...late, events: [event(id, "late")] })).toBe(false);
    expect(await showDeployment(store, id)).toMatchObject({ state: "staging", reason: null, finishedAt: null });
    expect((await findWebsiteOnYard(store, "s1"))?.release).toBeNull();
    expect((await deploymentEvents(store, id, 0))?.events).toEqual([]);
  });

  test("of many movers at once is made by exactly one", async () => {
    const id = await recorded();
    const moves = await Promise.all(Array.from({ length: 8 }, () => moveState(store, { id, from: "received", to: "staging" })));
    expect(moves.filter((moved) => moved)).toHaveLength(1);
  });
});

describe("a deployment", () => {
  test("keeps a server's earlier moments when a later one is noted, and forgets an error that is fixed", async () => {
    const id = await recorded();
    await noteServers(store, id, [{ name: "c1b1", role: "box", stagedAt: "2026-11-23T08:00:01.000001Z", error: "slow" }]);
    await noteServers(store, id, [
      { name: "c1b1", role: "box", switchedAt: "2026-11-23T08:00:02.000002Z", clockOffsetMs: 2.5, error: null },
    ]);
    expect((await showDeployment(store, id))?.servers).toEqual([
      {
        name: "c1b1",
        role: "box",
        stagedAt: "2026-11-23T08:00:01.000001Z",
        switchedAt: "2026-11-23T08:00:02.000002Z",
        clockOffsetMs: 2.5,
        error: null,
        isLeftOut: false,
      },
    ]);
  });

  test("that was decided to turn back sets the release back with the decision, and the first reason stays", async () => {
    const id = await recorded();
    await moveState(store, { id, from: "received", to: "staging" });
    await moveState(store, { id, from: "staging", to: "staged" });
    await moveState(store, { id, from: "staged", to: "switching" });
    await moveState(store, { id, from: "switching", to: "verifying", release: { website: "s1", commit: A } });
    await decideTurningBack(store, id, { reason: "first", release: null });
    await decideTurningBack(store, id, { reason: "second", release: B });
    expect((await findWebsiteOnYard(store, "s1"))?.release).toBeNull();
    expect((await readQueue(store, "s1")).open).toMatchObject([{ isTurningBack: true, reason: "first", state: "verifying" }]);
  });

  test("is unsettled from its end until the git server knows", async () => {
    const id = await recorded();
    expect(await listUnsettled(store)).toEqual([]);
    await moveState(store, { id, from: "received", to: "failed", reason: "no boxes", finishedAtMicros: 1_795_420_800_000_001 });
    expect(await listUnsettled(store)).toMatchObject([{ id, reason: "no boxes", gitServer: "git1" }]);
    await markSettled(store, id);
    expect(await listUnsettled(store)).toEqual([]);
    expect(await deploymentEvents(store, id, 0)).toEqual({ events: [], isFinal: true });
  });

  test("that does not exist has no events and is not shown", async () => {
    expect(await showDeployment(store, 99)).toBeNull();
    expect(await deploymentEvents(store, 99, 0)).toBeNull();
  });

  test("list is newest last and cut at the old end", async () => {
    for (const [index, commit] of [A, B, A].entries()) await recordPush(store, push(`p${index}`, commit, index));
    const list = await listDeployments(store, { limit: 2 });
    expect(list.map((one) => one.push)).toEqual(["p1", "p2"]);
  });
});

test("a website is found with the servers that are there to stay, by what they do for it", async () => {
  const server = (name: string, role: string, last: number, state: "present" | "leaving" = "present") =>
    ({ name, roles: JSON.stringify([role]), cluster: "c1", address: `10.0.0.${last}`, state, enrolment: null, host_key: null }) as never;
  await store
    .insertInto("server")
    .values([server("c1b1", "box", 1), server("c1b2", "box", 2, "leaving"), server("c1s", "shell", 3), server("c1v1", "cache", 4)])
    .execute();
  const carriers = [
    { name: "c1b1", role: "box", fence: null },
    { name: "c1s", role: "shell", fence: null },
  ];
  expect(await findWebsiteOnYard(store, "s1")).toEqual({
    id: "s1",
    cluster: "c1",
    release: null,
    domain: null,
    domains: [],
    databases: [],
    carriers,
    caches: ["c1v1"],
    minBoxes: 1,
  });
  expect(await findWebsiteOnYard(store, "s2")).toBeNull();
});
