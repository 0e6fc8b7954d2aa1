import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { nowMicros, timestamp, timestampOf } from "#base/clock.ts";
import { until } from "#base/retry.ts";
import type { Push } from "#contract/push.ts";
import { addWebsite, ended, pushOf, startQuickly } from "#harness/deployments.ts";
import { startPostgres, type TestPostgres } from "#harness/postgres.ts";
import { type Behaviour, SimulatedYard } from "#harness/simulated-yard.ts";
import { deploymentEvents, listGoodReleases } from "../store/deployments.ts";
import type { Store } from "../store/schema.ts";
import { findWebsiteOnYard } from "../store/website-on-yard.ts";
import type { Coordinator } from "./coordinator.ts";

const SERVERS = { c1b1: "box", c1b2: "box", c1s: "shell", c1v1: "cache", c1v2: "cache" } as const;
const CARRIERS = ["c1b1", "c1b2", "c1s"];
let postgres: TestPostgres;
let store: Store;
let yard: SimulatedYard;
let coordinator: Coordinator | undefined;
let script: (server: string, action: string, nth: number) => Behaviour;

beforeAll(async () => {
  postgres = await startPostgres();
});
afterAll(() => postgres.stop());
beforeEach(async () => {
  store = await postgres.freshStore();
  await addWebsite(store, { website: "s1", cluster: "c1", servers: SERVERS });
  script = () => "ok";
  yard = new SimulatedYard((server, action, nth) => script(server, action, nth));
});
afterEach(async () => {
  await coordinator?.stop();
  coordinator = undefined;
  await store.destroy();
});

function start(): Coordinator {
  coordinator = startQuickly(store, yard.fabric());
  return coordinator;
}

async function deploy(push: Push, amount: number) {
  yard.push(push);
  return (await ended(store, amount)).at(-1);
}

function liveOn(servers: readonly string[] = CARRIERS) {
  return servers.map((server) => yard.live.get(`${server} s1`) ?? null);
}

/** Servers that visitors are not sent to. */
async function fenced(): Promise<string[]> {
  return (await store.selectFrom("fence").select("server").orderBy("server").execute()).map(({ server }) => server);
}

function returned(): Promise<true> {
  return until("the servers to return", async () => ((await fenced()).length === 0 ? true : null), { timeoutMs: 5_000, everyMs: 5 });
}

function lines(): string[] {
  return yard.events.map((event) => event.line);
}

describe("a deployment that somebody asks for", () => {
  const rollbackTo = (commit: string) =>
    ({ website: "s1", commit, kind: "rollback", caller: "anna", holdSeconds: null, needsBuild: false }) as const;

  test("goes live like a push, with a way back of its own, and no git server is told", async () => {
    const { order } = start();
    const [first, second] = [pushOf("s1", 1), pushOf("s1", 2)];
    await deploy(first, 1);
    await deploy(second, 2);
    const id = await order(rollbackTo(first.commit));
    const back = (await ended(store, 3)).at(-1);
    expect(back).toMatchObject({ id, kind: "rollback", caller: "anna", push: null, state: "live", previous: second.commit });
    expect(liveOn()).toEqual(CARRIERS.map(() => first.commit));
    expect([...yard.settled.keys()]).toEqual([first.id, second.id]);
    expect(lines().at(-1)).toMatch(/^live: s1 .*; undo: boxyard rollback s1$/);
    expect(await listGoodReleases(store, "s1")).toEqual([first.commit, second.commit]);
  });

  test("that a server refuses leaves the present release live everywhere", async () => {
    const { order } = start();
    await deploy(pushOf("s1", 1), 1);
    await deploy(pushOf("s1", 2), 2);
    script = (server, action) => (server === "c1b2" && action === "release.switch" ? "refuses" : "ok");
    await order(rollbackTo(pushOf("s1", 1).commit));
    expect((await ended(store, 3)).at(-1)).toMatchObject({ state: "rolled-back", reason: expect.stringContaining("c1b2") });
    expect((await findWebsiteOnYard(store, "s1"))?.release).toBe(pushOf("s1", 2).commit);
    script = () => "ok";
    expect(liveOn(["c1b1", "c1s"])).toEqual(Array(2).fill(pushOf("s1", 2).commit));
  });

  test("is called off while servers stage it; nothing switches, and the next one goes on", async () => {
    const { order, cancel } = start();
    await deploy(pushOf("s1", 1), 1);
    script = (server, action) => (server === "c1b1" && action === "release.stage" ? "mute" : "ok");
    const id = await order({
      website: "s1",
      commit: pushOf("s1", 7).commit,
      kind: "deploy",
      caller: "anna",
      holdSeconds: null,
      needsBuild: false,
    });
    const isStaged = async () => yard.asked.some(({ release }) => release === pushOf("s1", 7).commit) || null;
    await until("it is being staged", isStaged, { timeoutMs: 3_000, everyMs: 5 });
    expect(await cancel(id, "bea")).toBe(true);
    expect((await ended(store, 2)).at(-1)).toMatchObject({ state: "failed", reason: "cancelled by bea" });
    script = () => "ok";
    expect(await deploy({ ...pushOf("s1", 8), acceptedAt: timestamp() }, 3)).toMatchObject({ state: "live" });
    expect(yard.events.filter((event) => event.deployment === id).at(-1)?.state).toBe("failed");
    expect(yard.asked.some(({ action, release }) => action === "release.switch" && release === pushOf("s1", 7).commit)).toBe(false);
  });

  test("is not called off when it is live, nor when there is none", async () => {
    const { cancel } = start();
    const live = await deploy(pushOf("s1", 1), 1);
    await expect(cancel(live?.id ?? 0, "bea")).rejects.toMatchObject({ code: "deployment.too-late" });
    expect(await cancel(4711, "bea")).toBe(false);
  });
});

describe("a push", () => {
  test("goes live on all boxes and the shell server, its old pages are banned, and the git server knows", async () => {
    start();
    const first = pushOf("s1", 1);
    const deployment = await deploy(first, 1);
    expect(deployment).toMatchObject({ state: "live", reason: null, commit: first.commit, push: first.id });
    expect(deployment?.servers).toHaveLength(3);
    for (const server of deployment?.servers ?? [])
      expect(server).toMatchObject({ stagedAt: expect.any(String), switchedAt: expect.any(String), error: null });
    expect(liveOn()).toEqual([first.commit, first.commit, first.commit]);
    expect([yard.kept.get("c1v1 s1"), yard.kept.get("c1v2 s1")]).toEqual([first.commit, first.commit]);
    expect(yard.settled.get(first.id)).toEqual([true]);
    expect((await findWebsiteOnYard(store, "s1"))?.release).toBe(first.commit);
  });

  test("is told step by step, live and in the store alike", async () => {
    start();
    const deployment = await deploy(pushOf("s1", 1), 1);
    expect(lines()).toEqual([
      "staging 1001000 on c1b1, c1b2, c1s (s1 has no release yet)",
      expect.stringMatching(/^c1(b1|b2|s) has staged it/),
      expect.stringMatching(/^c1(b1|b2|s) has staged it/),
      expect.stringMatching(/^c1(b1|b2|s) has staged it/),
      expect.stringMatching(/^staged on 3 servers in \d+ ms$/),
      expect.stringMatching(/^all servers are ready: switching at \d\d:\d\d:\d\d\.\d{6}$/),
      expect.stringMatching(/^switched at \d\d:\d\d:\d\d\.\d{6} \(spread \d+\.\d ms\)$/),
      ...Array(2).fill(expect.stringMatching(/verified on c1b1, c1b2|pages of releases other than 1001000 banned on c1v1, c1v2/)),
      "pages of releases other than 1001000 banned on c1v1, c1v2",
      expect.stringMatching(/^live: s1 /),
    ]);
    expect(await deploymentEvents(store, deployment?.id ?? 0, 0)).toEqual({ events: yard.events, isFinal: true });
  });

  test("notes when each server switched, and how its clock stood to control's", async () => {
    yard.clockOffsets.set("c1b2", -1.25);
    start();
    const deployment = await deploy(pushOf("s1", 1), 1);
    const offsets = deployment?.servers.map(({ name, switchedAt, clockOffsetMs }) => [name, switchedAt !== null, clockOffsetMs]);
    expect(offsets).toEqual([
      ["c1b1", true, 0],
      ["c1b2", true, -1.25],
      ["c1s", true, 0],
    ]);
  });

  test("that comes twice deploys once", async () => {
    start();
    await deploy(pushOf("s1", 1), 1);
    yard.push(pushOf("s1", 1));
    await deploy(pushOf("s1", 2), 2);
    expect(await ended(store, 2)).toHaveLength(2);
  });

  test("for a website that the yard does not have is refused with the reason, and holds nobody up", async () => {
    start();
    yard.push(pushOf("s9", 1));
    expect(await deploy(pushOf("s1", 2), 1)).toMatchObject({ website: "s1", state: "live" });
    expect(yard.settled.get("s9-1")).toEqual([false]);
  });

  test("to a cluster without boxes fails with what to do", async () => {
    await store.deleteFrom("server").where("name", "in", ["c1b1", "c1b2"]).execute();
    start();
    const deployment = await deploy(pushOf("s1", 1), 1);
    expect(deployment).toMatchObject({ state: "failed", reason: expect.stringContaining("boxyard cluster scale c1") });
    expect(yard.settled.get("s1-1")).toEqual([false]);
  });

  test("that waits is overtaken by a newer one", async () => {
    for (const nth of [1, 2, 3]) yard.push(pushOf("s1", nth));
    start();
    const all = await ended(store, 3);
    expect(all.at(-1)?.state).toBe("live");
    expect(all.filter((one) => one.state === "superseded").length).toBeGreaterThanOrEqual(1);
    for (const one of all) expect(yard.settled.get(one.push ?? "")).toEqual([one.state === "live"]);
    expect(liveOn()).toEqual(CARRIERS.map(() => all.at(-1)?.commit));
  });

  test.each([
    ["ahead, as is known", 300_000, 300_000],
    ["ahead, as nobody knows", 300_000, 0],
    ["behind, as is known", -300_000, -300_000],
  ])("is as new as it is, whatever its server's clock says: %s", async (_how, aheadMs, knownMs) => {
    const { order } = start();
    yard.clockOffsets.set("git1", knownMs);
    const pushNow = (nth: number): Push => ({ ...pushOf("s1", nth), acceptedAt: timestampOf(nowMicros() + aheadMs * 1_000) });
    const again = {
      website: "s1",
      commit: pushOf("s1", 9).commit,
      kind: "deploy",
      caller: "anna",
      holdSeconds: null,
      needsBuild: false,
    } as const;
    expect(await deploy(pushNow(1), 1)).toMatchObject({ state: "live" });
    await order(again);
    expect((await ended(store, 2)).at(-1)).toMatchObject({ state: "live", commit: again.commit });
    expect(await deploy(pushNow(2), 3)).toMatchObject({ state: "live" });
    await order(again);
    expect((await ended(store, 4)).map(({ state }) => state)).toEqual(["live", "live", "live", "live"]);
  });

  test("that arrives after a newer one is live does not replace it", async () => {
    start();
    await deploy(pushOf("s1", 2), 1);
    expect(await deploy(pushOf("s1", 1), 2)).toMatchObject({ state: "superseded" });
    expect(liveOn()[0]).toBe(pushOf("s1", 2).commit);
  });
});

describe("when a server", () => {
  beforeEach(async () => {
    start();
    await deploy(pushOf("s1", 1), 1);
  });

  test("that is the shell server cannot stage, the deployment goes on and no cache is asked anything", async () => {
    script = (server, action) => (server === "c1s" && action === "release.stage" ? "refuses" : "ok");
    expect(await deploy(pushOf("s1", 2), 2)).toMatchObject({ state: "live" });
    expect(lines()).toContain("going on without c1s, it follows as soon as it can: c1s: no space left on device");
    expect(await fenced()).toEqual([]);
  });

  test("is only just reconnecting, staging waits for it", async () => {
    script = (server, action, nth) => (server === "c1b2" && action === "release.stage" && nth < 3 ? "away" : "ok");
    expect(await deploy(pushOf("s1", 2), 2)).toMatchObject({ state: "live" });
    expect(lines()).toContain("waiting: c1b2 is not connected");
  });

  test.each(["refuses", "deaf", "mute", "late-and-mute"] as const)("%s at the switch, all go back", async (behaviour) => {
    script = (server, action, nth) => (server === "c1b2" && action === "release.switch" && nth === 1 ? behaviour : "ok");
    const deployment = await deploy(pushOf("s1", 2), 2);
    expect(deployment).toMatchObject({ state: "rolled-back", reason: expect.stringMatching(/^cannot switch to 1002000: c1b2/) });
    expect(new Set(liveOn())).toEqual(new Set([pushOf("s1", 1).commit]));
    expect((await findWebsiteOnYard(store, "s1"))?.release).toBe(pushOf("s1", 1).commit);
    expect(yard.settled.get("s1-2")).toEqual([false]);
  });

  test("answers the front page with an error, all go back and the pages are banned again", async () => {
    yard.statuses.set("c1b2", 500);
    const deployment = await deploy(pushOf("s1", 2), 2);
    expect(deployment).toMatchObject({ state: "rolled-back", reason: expect.stringContaining("c1b2: its front page answers 500") });
    expect(new Set(liveOn())).toEqual(new Set([pushOf("s1", 1).commit]));
    expect((await findWebsiteOnYard(store, "s1"))?.release).toBe(pushOf("s1", 1).commit);
    expect(yard.kept.get("c1v1 s1")).toBe(pushOf("s1", 1).commit);
  });

  test("is removed from the yard while it stages, nobody waits for it", async () => {
    script = (server) => (server === "c1b2" ? "away" : "ok");
    yard.push(pushOf("s1", 2));
    await until("the wait", async () => (lines().some((line) => line.startsWith("waiting:")) ? true : null), {
      timeoutMs: 5_000,
      everyMs: 1,
    });
    await store.deleteFrom("server").where("name", "=", "c1b2").execute();
    expect((await ended(store, 2)).at(-1)).toMatchObject({ state: "live" });
  });

  test("that is a cache does not let go of old pages, visitors go through the other one until it has", async () => {
    let isDeaf = true;
    script = (server, action) => (isDeaf && server === "c1v2" && action === "cache.ban-pages" ? "refuses" : "ok");
    expect(await deploy(pushOf("s1", 2), 2)).toMatchObject({ state: "live" });
    expect(lines()).toContain("c1v2 is fenced until it has caught up: c1v2: no space left on device");
    expect(await fenced()).toEqual(["c1v2"]);
    isDeaf = false;
    await returned();
    expect(yard.kept.get("c1v2 s1")).toBe(pushOf("s1", 2).commit);
  });
});

describe("when a box cannot stage", () => {
  const isBroken = (server: string, action: string) => server === "c1b2" && action !== "release.probe" && action !== "server.status";

  beforeEach(async () => {
    start();
    await deploy(pushOf("s1", 1), 1);
  });

  test.each(["refuses", "away"] as const)(
    "(it %s) it gets no visitors, the others go on, and it returns when it serves what they serve",
    async (how) => {
      let isOver = false;
      script = (server, action) => (!isOver && isBroken(server, action) ? how : "ok");
      const deployment = await deploy(pushOf("s1", 2), 2);
      expect(deployment).toMatchObject({ state: "live" });
      expect(deployment?.servers.map(({ name, isLeftOut }) => [name, isLeftOut])).toEqual([
        ["c1b1", false],
        ["c1b2", true],
        ["c1s", false],
      ]);
      expect(lines().at(-1)).toMatch(/^live: .*without c1b2, which gets no visitors until it has caught up; undo/);
      expect([yard.rotation.get("c1v1"), yard.rotation.get("c1v2")]).toEqual([["c1b1"], ["c1b1"]]);
      expect(await fenced()).toEqual(["c1b2"]);
      isOver = true;
      await returned();
      expect(liveOn()).toEqual(CARRIERS.map(() => pushOf("s1", 2).commit));
      await until("its visitors", async () => yard.rotation.get("c1v1")?.includes("c1b2") || null, { timeoutMs: 2_000, everyMs: 5 });
      expect(await deploy(pushOf("s1", 3), 3)).toMatchObject({ state: "live" });
      expect(liveOn()).toEqual(CARRIERS.map(() => pushOf("s1", 3).commit));
    },
  );

  test("and is right in all else, it does not return before the deployment that goes on without it has ended", async () => {
    script = (server, action) => (server === "c1b2" && action === "release.stage" ? "refuses" : "ok");
    expect(await deploy(pushOf("s1", 2), 2)).toMatchObject({ state: "live" });
    expect(lines().filter((line) => line.startsWith("going on without c1b2"))).toHaveLength(1);
    expect(lines().at(-1)).toContain("without c1b2");
    await returned();
  });

  test("no switch is asked for before both caches have confirmed; one that does not is left aside itself", async () => {
    script = (server, action) => (isBroken(server, action) ? "away" : server === "c1v2" && action === "converge" ? "away" : "ok");
    expect(await deploy(pushOf("s1", 2), 2)).toMatchObject({ state: "live" });
    expect(yard.rotation.get("c1v1")).toEqual(["c1b1"]);
    expect(await fenced()).toEqual(["c1b2", "c1v2"]);
  });

  test("and no cache confirms, nothing changes", async () => {
    script = (server, action) => (isBroken(server, action) || action === "converge" ? "away" : "ok");
    const deployment = await deploy(pushOf("s1", 2), 2);
    expect(deployment).toMatchObject({ state: "failed", reason: expect.stringContaining("c1v1, c1v2 have not confirmed") });
    expect(new Set(liveOn())).toEqual(new Set([pushOf("s1", 1).commit]));
  });

  test("and too few are left, nothing changes anywhere and the pusher reads why", async () => {
    await store.updateTable("cluster").set({ min_boxes: 2 }).execute();
    script = (server, action) => (isBroken(server, action) ? "refuses" : "ok");
    const deployment = await deploy(pushOf("s1", 2), 2);
    expect(deployment).toMatchObject({ state: "failed", reason: "cannot stage 1002000: c1b2: no space left on device" });
    expect(deployment?.servers.find((server) => server.name === "c1b2")?.error).toContain("no space left on device");
    expect(lines().slice(-2)).toEqual([
      "live now: 1001000 on c1b1, c1b2, c1s",
      `failed: ${deployment?.reason}; nothing changed: s1 still serves 1001000; when that is mended: git push`,
    ]);
    expect(new Set(liveOn())).toEqual(new Set([pushOf("s1", 1).commit]));
    expect(yard.asked.filter((one) => one.action === "release.switch" && one.release === pushOf("s1", 2).commit)).toEqual([]);
    expect(await fenced()).toEqual([]);
  });

  test("and returns while another deployment is being staged, that one takes it along", async () => {
    let isOver = false;
    script = (server, action) => (!isOver && isBroken(server, action) ? "away" : "ok");
    await deploy(pushOf("s1", 2), 2);
    isOver = true;
    for (const nth of [3, 4, 5, 6]) await deploy(pushOf("s1", nth), nth);
    await returned();
    expect(await deploy(pushOf("s1", 7), 7)).toMatchObject({ state: "live" });
    expect(liveOn()).toEqual(CARRIERS.map(() => pushOf("s1", 7).commit));
  });
});

test("a box that does not confirm the way back gets no visitors until it has gone back", async () => {
  start();
  await deploy(pushOf("s1", 1), 1);
  script = (server, action, nth) => (server === "c1b2" && action === "release.switch" && nth > 0 ? "late-and-mute" : "ok");
  expect(await deploy(pushOf("s1", 2), 2)).toMatchObject({ state: "rolled-back" });
  expect(lines().at(-1)).toContain("c1b2 did not confirm and gets no visitors until it has gone back");
  expect(lines().at(-2)).toMatch(/^live now: 1001000 on c1b1, c1s; 1002000 on c1b2|^live now: 1001000 on c1b1, c1b2, c1s/);
  expect(yard.rotation.get("c1v1")).toEqual(["c1b1"]);
});

test("a first deployment that fails leaves the website without a release", async () => {
  start();
  yard.statuses.set("c1b1", 503);
  expect(await deploy(pushOf("s1", 1), 1)).toMatchObject({ state: "rolled-back" });
  expect(liveOn()).toEqual([null, null, null]);
  expect((await findWebsiteOnYard(store, "s1"))?.release).toBeNull();
});

test.each(["release.stage", "release.switch", "release.probe"])(
  "a website deleted at %s ends its deployment and the next website is served",
  async (action) => {
    await addWebsite(store, { website: "s2", cluster: "c2", servers: { c2b1: "box", c2s: "shell" } });
    let isDeleted = false;
    script = (server, asked) => {
      if (server === "c1b1" && asked === action && !isDeleted) {
        isDeleted = true;
        void store.deleteFrom("website").where("id", "=", "s1").execute();
        return "refuses";
      }
      return isDeleted && server.startsWith("c1") ? "refuses" : "ok";
    };
    start();
    yard.push(pushOf("s1", 1));
    yard.push(pushOf("s2", 2));
    const all = await ended(store, 2);
    expect(all.find((one) => one.website === "s1")?.state).toMatch(/failed|rolled-back/);
    expect(all.find((one) => one.website === "s2")?.state).toBe("live");
  },
);

test("the git server is told again until it answers", async () => {
  script = (server, _action, nth) => (server === "git1" && nth < 1 ? "away" : "ok");
  start();
  yard.push(pushOf("s1", 1));
  await until("the push to be settled", async () => (yard.settled.has("s1-1") ? true : null), { timeoutMs: 10_000, everyMs: 20 });
  expect(yard.settled.get("s1-1")).toEqual([true]);
});
