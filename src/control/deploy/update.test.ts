import { beforeEach, describe, expect, test } from "vitest";
import { until } from "#base/retry.ts";
import { addDatabaseServer, addEdge, ended, pushOf } from "#harness/deployments.ts";
import { useOneWebsite } from "#harness/one-website.ts";
import { deploymentEvents, listAfterDue } from "../store/deployments.ts";
import type { Coordinator } from "./coordinator.ts";

const CACHES = ["c1v1", "c1v2"];
const [first, second] = [pushOf("s1", 1), pushOf("s1", 2)];
const site = useOneWebsite();
let control: Coordinator;

beforeEach(async () => {
  await addDatabaseServer(site.store);
  control = site.start();
  await site.deploy(first, 1);
});

function afterHooksEnded(): Promise<true> {
  const haveEnded = async () => ((await listAfterDue(site.store)).length === 0 ? true : null);
  return until("hooks.after to end", haveEnded, { timeoutMs: 5_000, everyMs: 5, clock: site.clock });
}

describe("a release with hooks", () => {
  const hooksRun = () => site.yard.asked.filter(({ action }) => action === "hook.run").map(({ server }) => server);

  beforeEach(() => {
    site.yard.hooks = ["update", "after"];
  });

  test("runs them on the shell server when it is switched, tells what they say, and is live when they are done", async () => {
    site.yard.hookLooks = 3;
    expect(await site.deploy(second, 2)).toMatchObject({ state: "live" });
    await afterHooksEnded();
    expect(new Set(hooksRun())).toEqual(new Set(["c1s"]));
    const told = site.lines().slice(site.lines().findIndex((line) => line.startsWith("running hooks")));
    expect(told).toEqual([
      "running hooks.update",
      "  $ update the database",
      expect.stringMatching(/^hooks.update is done \(/),
      expect.stringMatching(/^live: s1 .*; hooks.after runs now: boxyard deployment watch 2$/),
      "  $ after the database",
      expect.stringMatching(/^hooks.after is done \(/),
    ]);
  });

  test("is live before what comes after it has ended, and so may the next be; a control service that starts anew goes on with it", async () => {
    site.yard.endlessHooks.add("after");
    expect(await site.deploy(second, 2)).toMatchObject({ state: "live" });
    expect(await site.deploy(pushOf("s1", 3), 3)).toMatchObject({ state: "live" });
    expect(await deploymentEvents(site.store, 2, 0)).toMatchObject({ isFinal: false });
    await control.stop();
    site.yard.endlessHooks.clear();
    site.start();
    await afterHooksEnded();
    expect(site.lines().filter((line) => line.startsWith("hooks.after is done"))).toHaveLength(2);
    expect(await deploymentEvents(site.store, 2, 0)).toMatchObject({ isFinal: true });
  });

  test("goes back everywhere when its update fails, and the pusher reads why", async () => {
    site.yard.failingHooks.add("update");
    expect(await site.deploy(second, 2)).toMatchObject({
      state: "rolled-back",
      reason: "cannot update: c1s: hooks.update ended with exit status 3",
    });
    expect(new Set(site.liveOn())).toEqual(new Set([first.commit]));
    expect(site.lines()).not.toContain("  $ after the database");
  });

  test("is told with the first thousand lines of its update, and with the last twenty when that fails", async () => {
    site.yard.failingHooks.add("update");
    site.yard.hookLines = Array.from({ length: 1_500 }, (_, index) => `line ${index + 1}`);
    await site.deploy(second, 2);
    const told = site.lines().filter((line) => line.startsWith("  "));
    expect(told.slice(998)).toEqual([
      "  line 999",
      "  line 1000",
      "  … 480 lines are left out here …",
      ...Array.from({ length: 20 }, (_, index) => `  line ${1_481 + index}`),
    ]);
  });

  test("shows no more than the first thousand lines of an update that works", async () => {
    site.yard.hooks = ["update"];
    site.yard.hookLines = Array.from({ length: 1_500 }, (_, index) => `line ${index + 1}`);
    await site.deploy(second, 2);
    const shown = site.lines().filter((line) => line.startsWith("  line"));
    expect([shown.length, shown.at(-1)]).toEqual([1_000, "  line 1000"]);
  });

  test("stays when only what comes after it fails, with a warning", async () => {
    site.yard.failingHooks.add("after");
    expect(await site.deploy(second, 2)).toMatchObject({ state: "live" });
    await afterHooksEnded();
    expect(site.lines()).toContain("warning: c1s: hooks.after ended with exit status 3");
  });

  test("needs the shell server to be updated", async () => {
    site.script = (server) => (server === "c1s" ? "away" : "ok");
    expect(await site.deploy(second, 2)).toMatchObject({ state: "failed", reason: "cannot stage 1002000: c1s is not connected" });
  });

  test.each(["away", "deaf"] as const)("waits for a shell server that is %s for a moment, and goes back when it stays so", async (how) => {
    site.yard.longestMs = 10;
    site.script = (server, action, nth) => (server === "c1s" && action === "hook.run" && nth === 1 ? how : "ok");
    expect(await site.deploy(second, 2)).toMatchObject({ state: "live" });
    site.script = (server, action) => (server === "c1s" && action === "hook.run" ? how : "ok");
    const reason = how === "away" ? "cannot update: c1s is not connected" : "cannot update: c1s has not answered";
    expect(await site.deploy(pushOf("s1", 3), 3)).toMatchObject({ state: "rolled-back", reason });
  });

  test("waits so for a moment at the end of a long update, too", async () => {
    site.yard.hookLooks = 60;
    site.script = (server, action, nth) => (server === "c1s" && action === "hook.run" && nth === 50 ? "away" : "ok");
    expect(await site.deploy(second, 2)).toMatchObject({ state: "live" });
  });

  test("of before is gone back to without its update", async () => {
    const { order } = control;
    await site.deploy(second, 2);
    await afterHooksEnded();
    const before = hooksRun().length;
    await order({ website: "s1", commit: first.commit, kind: "rollback", caller: "anna", holdSeconds: null, needsBuild: false });
    expect((await ended(site, 3)).at(-1)).toMatchObject({ state: "live" });
    await afterHooksEnded();
    expect(site.lines().filter((line) => line === "  $ after the database")).toHaveLength(2);
    expect(hooksRun().length).toBe(before + 2);
  });
});

describe("a release whose visitors wait", () => {
  beforeEach(() => {
    site.yard.hooks = ["update", "after"];
    site.yard.holdSeconds = 30;
  });
  const held = () => CACHES.filter((cache) => site.yard.isHeld(cache, "s1"));

  test("has them wait from before the switch until it is updated and verified; only then old pages go", async () => {
    expect(await site.deploy(second, 2)).toMatchObject({ state: "live" });
    const order = [
      "cache.hold c1v1",
      "release.switch c1b1",
      "hook.run c1s",
      "release.probe c1b1",
      "cache.ban-pages c1v1",
      "cache.let-go c1v1",
    ];
    const asked = site.actions().slice(site.actions().indexOf("cache.hold c1v1"));
    expect(order.map((one) => asked.indexOf(one))).toEqual(order.map((one) => asked.indexOf(one)).toSorted((a, b) => a - b));
    expect(asked).toEqual(expect.arrayContaining(order));
    expect(held()).toEqual([]);
    expect(site.yard.visitors.mixtures).toEqual([]);
    expect(site.lines()).toContainEqual(expect.stringMatching(/^switched at .*; visitors wait, each for 30 s at most$/));
    expect(site.lines()).toContain("visitors who waited go on");
  });

  test.each([
    ["its update fails", () => void site.yard.failingHooks.add("update"), "cannot update: c1s: hooks.update ended with exit status 3"],
    ["it answers with an error", () => void site.yard.statuses.set("c1b2", 500), "cannot verify 1002000: c1b2: its front page answers 500"],
  ])("goes back, and they go on, when %s", async (_, spoil, reason) => {
    spoil();
    expect(await site.deploy(second, 2)).toMatchObject({ state: "rolled-back", reason: expect.stringContaining(reason) });
    expect(new Set(site.liveOn())).toEqual(new Set([first.commit]));
    expect(held()).toEqual([]);
  });

  test("is not switched when no cache lets them wait, and goes on without a cache that does not", async () => {
    site.script = (_, action) => (action === "cache.hold" ? "refuses" : "ok");
    expect(await site.deploy(second, 2)).toMatchObject({
      state: "rolled-back",
      reason: expect.stringMatching(/^cannot let visitors wait: c1v1, c1v2: /),
    });
    expect(site.actions()).not.toContain("hook.run c1s");
    site.script = (server, action) => (action === "cache.hold" && server === "c1v1" ? "refuses" : "ok");
    expect(await site.deploy(pushOf("s1", 3), 3)).toMatchObject({ state: "live" });
    expect(site.yard.visitors.mixtures).toEqual([]);
  });

  test("is not switched when one cache lets nobody wait, and nobody confirms that visitors are not sent through it", async () => {
    await addEdge(site.store);
    site.script = (server, action) => {
      if (action === "cache.hold" && server === "c1v1") return "refuses";
      return server === "edge1" && action === "converge" ? "deaf" : "ok";
    };
    expect(await site.deploy(second, 2)).toMatchObject({
      state: "rolled-back",
      reason: expect.stringMatching(/^cannot let visitors wait: c1v1: /),
    });
    expect(site.actions()).not.toContain("hook.run c1s");
    expect(held()).toEqual([]);
  });

  test("says where they may still wait when a cache does not hear that they need not", async () => {
    site.script = (server, action) => (action === "cache.let-go" && server === "c1v1" ? "refuses" : "ok");
    expect(await site.deploy(second, 2)).toMatchObject({ state: "live" });
    expect(site.lines()).toContainEqual(expect.stringMatching(/^warning: visitors may still wait at c1v1: /));
  });

  test("is updated for as long as it takes while they go on waiting, also at a cache that knows nothing of it any more", async () => {
    site.yard.hookLooks = 50;
    let isHeld = false;
    site.script = (_, action, nth) => {
      if (action !== "hook.run" || nth >= 50) return "ok";
      isHeld = site.yard.isHeld("c1v2", "s1");
      // As one does that is made anew.
      if (nth === 1) site.yard.forgetHolds("c1v2");
      return "ok";
    };
    expect(await site.deploy(second, 2)).toMatchObject({ state: "live" });
    expect(isHeld).toBe(true);
  });

  test("has no update when there is only something to do after it", async () => {
    site.yard.hooks = ["after"];
    expect(await site.deploy(second, 2)).toMatchObject({ state: "live" });
    await afterHooksEnded();
    expect(site.lines().filter((line) => line.startsWith("  $ "))).toEqual(["  $ after the database"]);
  });

  test("lets them go at a cache that did not answer, too, which is asked again", async () => {
    site.script = (server, action, nth) => (server === "c1v2" && action === "cache.let-go" && nth === 0 ? "away" : "ok");
    expect(await site.deploy(second, 2)).toMatchObject({ state: "live" });
    expect(site.actions().filter((one) => one === "cache.let-go c1v2")).toHaveLength(2);
    expect(held()).toEqual([]);
  });

  test("lets them go when its website is deleted", async () => {
    site.script = (_, action) => {
      if (action === "hook.run") void site.store.deleteFrom("website").execute();
      return action === "hook.run" ? "away" : "ok";
    };
    expect(await site.deploy(second, 2)).toMatchObject({ state: "rolled-back", reason: "website s1 was deleted meanwhile" });
    expect(site.lines().at(-1)).toContain(
      "live now: nothing, because s1 has no servers; the websites that there are: boxyard website list",
    );
    expect(held()).toEqual([]);
  });

  test("may be any that somebody asks for", async () => {
    site.yard.holdSeconds = null;
    await control.order({ website: "s1", commit: second.commit, kind: "deploy", caller: "anna", holdSeconds: 5, needsBuild: false });
    expect((await ended(site, 2)).at(-1)).toMatchObject({ state: "live" });
    expect(site.actions()).toContain("cache.let-go c1v2");
  });
});

describe("a release that keeps the databases", () => {
  beforeEach(async () => {
    site.yard.hooks = ["update"];
    await site.deploy(second, 2);
    site.yard.snapshotsDatabases = true;
  });

  test("has them put back when its update fails, and not when it works", async () => {
    await site.deploy(pushOf("s1", 3), 3);
    expect(site.yard.databases.get("db1")).toBe(pushOf("s1", 3).commit);
    site.yard.failingHooks.add("update");
    expect(await site.deploy(pushOf("s1", 4), 4)).toMatchObject({ state: "rolled-back" });
    expect(site.yard.databases.get("db1")).toBe(pushOf("s1", 3).commit);
    expect(site.lines()).toContainEqual(expect.stringMatching(/^put db1 back as before the update/));
  });

  test("has them put back only when the update has ended; when that is not known they stay as they are, and it is said", async () => {
    site.script = (server, action, nth) => (server === "c1s" && action === "hook.run" && nth > 2 ? "away" : "ok");
    expect(await site.deploy(pushOf("s1", 3), 3)).toMatchObject({ state: "rolled-back" });
    expect(site.actions()).toContain("hook.end c1s");
    expect(site.yard.databases.get("db1")).toBe(second.commit);
    site.script = (server, action) => (server === "c1s" && action.startsWith("hook.") ? "away" : "ok");
    const restores = site.actions().filter((one) => one.startsWith("database.restore")).length;
    expect(await site.deploy(pushOf("s1", 4), 4)).toMatchObject({ state: "rolled-back" });
    expect(site.actions().filter((one) => one.startsWith("database.restore"))).toHaveLength(restores);
    expect(site.lines().at(-1)).toContain("hooks.update may still write into it on c1s is not connected");
    expect(site.yard.visitors.mixtures).toEqual([]);
  });

  test("is not updated when they cannot be kept", async () => {
    site.script = (_, action) => (action === "database.snapshot" ? "refuses" : "ok");
    expect(await site.deploy(pushOf("s1", 3), 3)).toMatchObject({
      state: "rolled-back",
      reason: "cannot update: db1: no space left on device",
    });
    expect(site.yard.databases.get("db1")).toBe(second.commit);
    expect(site.actions().some((one) => one.startsWith("database.restore"))).toBe(false);
  });

  test("says so when they cannot be put back", async () => {
    site.yard.failingHooks.add("update");
    site.script = (_, action) => (action === "database.restore" ? "refuses" : "ok");
    await site.deploy(pushOf("s1", 3), 3);
    expect(site.lines().at(-1)).toContain("db1 could not be put back: no space left on device");
  });
});
