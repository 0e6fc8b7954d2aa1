import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { Push } from "#contract/push.ts";
import { addDatabaseServer, addWebsite, ended, pushOf, startQuickly } from "#harness/deployments.ts";
import { startPostgres, type TestPostgres } from "#harness/postgres.ts";
import { type Behaviour, SimulatedYard } from "#harness/simulated-yard.ts";
import type { Store } from "../store/schema.ts";
import type { Coordinator } from "./coordinator.ts";

const CARRIERS = ["c1b1", "c1b2", "c1s"];
const CACHES = ["c1v1", "c1v2"];
const [first, second] = [pushOf("s1", 1), pushOf("s1", 2)];
let postgres: TestPostgres;
let store: Store;
let yard: SimulatedYard;
let coordinator: Coordinator;
let script: (server: string, action: string, nth: number) => Behaviour;

beforeAll(async () => {
  postgres = await startPostgres();
});
afterAll(() => postgres.stop());
beforeEach(async () => {
  store = await postgres.freshStore();
  const servers = { c1b1: "box", c1b2: "box", c1s: "shell", c1v1: "cache", c1v2: "cache" } as const;
  await addWebsite(store, { website: "s1", cluster: "c1", servers });
  await addDatabaseServer(store);
  script = () => "ok";
  yard = new SimulatedYard((server, action, nth) => script(server, action, nth));
  coordinator = startQuickly(store, yard.fabric());
  await deploy(first, 1);
});
afterEach(async () => {
  await coordinator.stop();
  await store.destroy();
});

async function deploy(push: Push, amount: number) {
  yard.push(push);
  return (await ended(store, amount)).at(-1);
}

function liveOn(): (string | null)[] {
  return CARRIERS.map((server) => yard.live.get(`${server} s1`) ?? null);
}

function lines(): string[] {
  return yard.events.map(({ line }) => line);
}

function actions(): string[] {
  return yard.asked.map(({ action, server }) => `${action} ${server}`);
}

describe("a release with hooks", () => {
  const hooksRun = () => yard.asked.filter(({ action }) => action === "hook.run").map(({ server }) => server);

  beforeEach(() => {
    yard.hooks = ["update", "after"];
  });

  test("runs them on the shell server when it is switched, tells what they say, and is live when they are done", async () => {
    expect(await deploy(second, 2)).toMatchObject({ state: "live" });
    expect(new Set(hooksRun())).toEqual(new Set(["c1s"]));
    const told = lines().slice(lines().findIndex((line) => line.startsWith("running hooks")));
    expect(told).toEqual([
      "running hooks.update, then hooks.after",
      "  $ update the database",
      expect.stringMatching(/^hooks.update is done \(/),
      "  $ after the database",
      expect.stringMatching(/^hooks.after is done \(/),
      expect.stringMatching(/^live: s1 /),
    ]);
  });

  test("goes back everywhere when its update fails, and the pusher reads why", async () => {
    yard.failingHooks.add("update");
    expect(await deploy(second, 2)).toMatchObject({
      state: "rolled-back",
      reason: "cannot update: c1s: hooks.update ended with exit status 3",
    });
    expect(new Set(liveOn())).toEqual(new Set([first.commit]));
    expect(lines()).not.toContain("  $ after the database");
  });

  test("stays when only what comes after it fails, with a warning", async () => {
    yard.failingHooks.add("after");
    expect(await deploy(second, 2)).toMatchObject({ state: "live" });
    expect(lines()).toContain("warning: c1s: hooks.after ended with exit status 3");
  });

  test("needs the shell server to be updated", async () => {
    script = (server) => (server === "c1s" ? "away" : "ok");
    expect(await deploy(second, 2)).toMatchObject({ state: "failed", reason: "cannot stage 1002000: c1s is not connected" });
  });

  test("waits for a shell server that is away for a moment, and goes back when it stays away", async () => {
    script = (server, action, nth) => (server === "c1s" && action === "hook.run" && nth === 1 ? "away" : "ok");
    expect(await deploy(second, 2)).toMatchObject({ state: "live" });
    script = (server, action) => (server === "c1s" && action === "hook.run" ? "away" : "ok");
    expect(await deploy(pushOf("s1", 3), 3)).toMatchObject({ state: "rolled-back", reason: "cannot update: c1s is not connected" });
  });

  test("of before is gone back to without its update", async () => {
    const { order } = coordinator;
    await deploy(second, 2);
    const before = hooksRun().length;
    await order({ website: "s1", commit: first.commit, kind: "rollback", caller: "anna", holdSeconds: null, needsBuild: false });
    expect((await ended(store, 3)).at(-1)).toMatchObject({ state: "live" });
    expect(lines().filter((line) => line === "running hooks.after")).toHaveLength(1);
    expect(hooksRun().length).toBe(before + 2);
  });
});

describe("a release whose visitors wait", () => {
  beforeEach(() => {
    yard.hooks = ["update", "after"];
    yard.holdSeconds = 30;
  });
  const held = () => CACHES.filter((cache) => yard.isHeld(cache, "s1"));

  test("has them wait from before the switch until it is updated and verified; only then old pages go", async () => {
    expect(await deploy(second, 2)).toMatchObject({ state: "live" });
    const order = [
      "cache.hold c1v1",
      "release.switch c1b1",
      "hook.run c1s",
      "release.probe c1b1",
      "cache.ban-pages c1v1",
      "cache.let-go c1v1",
    ];
    const asked = actions().slice(actions().indexOf("cache.hold c1v1"));
    expect(order.map((one) => asked.indexOf(one))).toEqual(order.map((one) => asked.indexOf(one)).toSorted((a, b) => a - b));
    expect(asked).toEqual(expect.arrayContaining(order));
    expect(held()).toEqual([]);
    expect(yard.mixtures).toEqual([]);
    expect(lines()).toContainEqual(expect.stringMatching(/^switched at .*; visitors wait, each for 30 s at most$/));
    expect(lines()).toContain("visitors who waited go on");
  });

  test.each([
    ["its update fails", () => void yard.failingHooks.add("update"), "cannot update: c1s: hooks.update ended with exit status 3"],
    ["it answers with an error", () => void yard.statuses.set("c1b2", 500), "cannot verify 1002000: c1b2: its front page answers 500"],
  ])("goes back, and they go on, when %s", async (_, spoil, reason) => {
    spoil();
    expect(await deploy(second, 2)).toMatchObject({ state: "rolled-back", reason: expect.stringContaining(reason) });
    expect(new Set(liveOn())).toEqual(new Set([first.commit]));
    expect(held()).toEqual([]);
  });

  test("is not switched when no cache lets them wait, and goes on without a cache that does not", async () => {
    script = (_, action) => (action === "cache.hold" ? "refuses" : "ok");
    expect(await deploy(second, 2)).toMatchObject({
      state: "rolled-back",
      reason: expect.stringMatching(/^cannot let visitors wait: c1v1, c1v2: /),
    });
    expect(actions()).not.toContain("hook.run c1s");
    script = (server, action) => (action === "cache.hold" && server === "c1v1" ? "refuses" : "ok");
    expect(await deploy(pushOf("s1", 3), 3)).toMatchObject({ state: "live" });
    expect(yard.mixtures).toEqual([]);
  });

  test("says where they may still wait when a cache does not hear that they need not", async () => {
    script = (server, action) => (action === "cache.let-go" && server === "c1v1" ? "refuses" : "ok");
    expect(await deploy(second, 2)).toMatchObject({ state: "live" });
    expect(lines()).toContainEqual(expect.stringMatching(/^warning: visitors may still wait at c1v1: /));
  });

  test("is updated for as long as it takes while they go on waiting, also at a cache that knows nothing of it any more", async () => {
    yard.hookLooks = 50;
    let isHeld = false;
    script = (_, action, nth) => {
      if (action !== "hook.run" || nth >= 50) return "ok";
      isHeld = yard.isHeld("c1v2", "s1");
      // As one does that is made anew.
      if (nth === 1) yard.forgetHolds("c1v2");
      return "ok";
    };
    expect(await deploy(second, 2)).toMatchObject({ state: "live" });
    expect(isHeld).toBe(true);
  });

  test("lets them go when its website is deleted", async () => {
    script = (_, action) => {
      if (action === "hook.run") void store.deleteFrom("website").execute();
      return action === "hook.run" ? "away" : "ok";
    };
    expect(await deploy(second, 2)).toMatchObject({ state: "rolled-back", reason: "website s1 was deleted meanwhile" });
    expect(held()).toEqual([]);
  });

  test("may be any that somebody asks for", async () => {
    yard.holdSeconds = null;
    await coordinator.order({ website: "s1", commit: second.commit, kind: "deploy", caller: "anna", holdSeconds: 5, needsBuild: false });
    expect((await ended(store, 2)).at(-1)).toMatchObject({ state: "live" });
    expect(actions()).toContain("cache.let-go c1v2");
  });
});

describe("a release that keeps the databases", () => {
  beforeEach(async () => {
    yard.hooks = ["update"];
    await deploy(second, 2);
    yard.snapshotsDatabases = true;
  });

  test("has them put back when its update fails, and not when it works", async () => {
    await deploy(pushOf("s1", 3), 3);
    expect(yard.databases.get("db1")).toBe(pushOf("s1", 3).commit);
    yard.failingHooks.add("update");
    expect(await deploy(pushOf("s1", 4), 4)).toMatchObject({ state: "rolled-back" });
    expect(yard.databases.get("db1")).toBe(pushOf("s1", 3).commit);
    expect(lines()).toContainEqual(expect.stringMatching(/^put db1 back as before the update/));
  });

  test("has them put back only when the update has ended; when that is not known they stay as they are, and it is said", async () => {
    script = (server, action, nth) => (server === "c1s" && action === "hook.run" && nth > 2 ? "away" : "ok");
    expect(await deploy(pushOf("s1", 3), 3)).toMatchObject({ state: "rolled-back" });
    expect(actions()).toContain("hook.end c1s");
    expect(yard.databases.get("db1")).toBe(second.commit);
    script = (server, action) => (server === "c1s" && action.startsWith("hook.") ? "away" : "ok");
    const restores = actions().filter((one) => one.startsWith("database.restore")).length;
    expect(await deploy(pushOf("s1", 4), 4)).toMatchObject({ state: "rolled-back" });
    expect(actions().filter((one) => one.startsWith("database.restore"))).toHaveLength(restores);
    expect(lines().at(-1)).toContain("hooks.update may still write into it on c1s is not connected");
    expect(yard.mixtures).toEqual([]);
  });

  test("is not updated when they cannot be kept", async () => {
    script = (_, action) => (action === "database.snapshot" ? "refuses" : "ok");
    expect(await deploy(pushOf("s1", 3), 3)).toMatchObject({ state: "rolled-back", reason: "cannot update: db1: no space left on device" });
    expect(yard.databases.get("db1")).toBe(second.commit);
    expect(actions().some((one) => one.startsWith("database.restore"))).toBe(false);
  });

  test("says so when they cannot be put back", async () => {
    yard.failingHooks.add("update");
    script = (_, action) => (action === "database.restore" ? "refuses" : "ok");
    await deploy(pushOf("s1", 3), 3);
    expect(lines().at(-1)).toContain("db1 could not be put back: no space left on device");
  });
});
