import { beforeEach, describe, expect, test } from "vitest";
import { timestamp, timestampOf } from "#base/clock.ts";
import { until } from "#base/retry.ts";
import type { Push } from "#contract/push.ts";
import { addWebsite, ended, pushOf } from "#harness/deployments.ts";
import { CARRIERS, useOneWebsite } from "#harness/one-website.ts";
import { deploymentEvents, listGoodReleases } from "../store/deployments.ts";
import { findWebsiteOnYard } from "../store/website-on-yard.ts";

const site = useOneWebsite();

/** Servers that visitors are not sent to. */
async function fenced(): Promise<string[]> {
  return (await site.store.selectFrom("fence").select("server").orderBy("server").execute()).map(({ server }) => server);
}

function returned(): Promise<true> {
  return until("the servers to return", async () => ((await fenced()).length === 0 ? true : null), {
    timeoutMs: 5_000,
    everyMs: 5,
    clock: site.clock,
  });
}

describe("a deployment that somebody asks for", () => {
  const rollbackTo = (commit: string) =>
    ({ website: "s1", commit, kind: "rollback", caller: "anna", holdSeconds: null, needsBuild: false }) as const;

  test("goes live like a push, with a way back of its own, and no git server is told", async () => {
    const { order } = site.start();
    const [first, second] = [pushOf("s1", 1), pushOf("s1", 2)];
    await site.deploy(first, 1);
    await site.deploy(second, 2);
    const id = await order(rollbackTo(first.commit));
    const back = (await ended(site, 3)).at(-1);
    expect(back).toMatchObject({ id, kind: "rollback", caller: "anna", push: null, state: "live", previous: second.commit });
    expect(site.liveOn()).toEqual(CARRIERS.map(() => first.commit));
    expect([...site.yard.settled.keys()]).toEqual([first.id, second.id]);
    expect(site.lines().at(-1)).toMatch(/^live: s1 .*; undo: boxyard rollback s1$/);
    expect(await listGoodReleases(site.store, "s1")).toEqual([first.commit, second.commit]);
  });

  test("that a server refuses leaves the present release live everywhere", async () => {
    const { order } = site.start();
    await site.deploy(pushOf("s1", 1), 1);
    await site.deploy(pushOf("s1", 2), 2);
    site.script = (server, action) => (server === "c1b2" && action === "release.switch" ? "refuses" : "ok");
    await order(rollbackTo(pushOf("s1", 1).commit));
    expect((await ended(site, 3)).at(-1)).toMatchObject({ state: "rolled-back", reason: expect.stringContaining("c1b2") });
    expect((await findWebsiteOnYard(site.store, "s1"))?.release).toBe(pushOf("s1", 2).commit);
    site.script = () => "ok";
    expect(site.liveOn(["c1b1", "c1s"])).toEqual(Array(2).fill(pushOf("s1", 2).commit));
  });

  test("is cancelled while servers stage it; nothing switches, and the next one goes on", async () => {
    const { order, cancel } = site.start();
    await site.deploy(pushOf("s1", 1), 1);
    site.script = (server, action) => (server === "c1b1" && action === "release.stage" ? "mute" : "ok");
    const id = await order({
      website: "s1",
      commit: pushOf("s1", 7).commit,
      kind: "deploy",
      caller: "anna",
      holdSeconds: null,
      needsBuild: false,
    });
    const isStaged = async () => site.yard.asked.some(({ release }) => release === pushOf("s1", 7).commit) || null;
    await until("it is being staged", isStaged, { timeoutMs: 3_000, everyMs: 5, clock: site.clock });
    expect(await cancel(id, "bea")).toBe(true);
    expect((await ended(site, 2)).at(-1)).toMatchObject({ state: "failed", reason: "cancelled by bea" });
    expect(site.lines()).toContainEqual(
      expect.stringMatching(/^failed: cancelled by bea; nothing changed; live now: .* on c1b1, c1b2, c1s; when it is wanted after all: .+/),
    );
    site.script = () => "ok";
    expect(await site.deploy({ ...pushOf("s1", 8), acceptedAt: timestamp(site.clock) }, 3)).toMatchObject({ state: "live" });
    expect(site.yard.events.filter((event) => event.deployment === id).at(-1)?.state).toBe("failed");
    expect(site.yard.asked.some(({ action, release }) => action === "release.switch" && release === pushOf("s1", 7).commit)).toBe(false);
  });

  test("is not cancelled when it is live, nor when there is none", async () => {
    const { cancel } = site.start();
    const live = await site.deploy(pushOf("s1", 1), 1);
    await expect(cancel(live?.id ?? 0, "bea")).rejects.toMatchObject({ code: "deployment.too-late" });
    expect(await cancel(4711, "bea")).toBe(false);
  });
});

describe("a push", () => {
  test("goes live on all boxes and the shell server, its old pages are banned, and the git server knows", async () => {
    site.start();
    const first = pushOf("s1", 1);
    const deployment = await site.deploy(first, 1);
    expect(deployment).toMatchObject({ state: "live", reason: null, commit: first.commit, push: first.id });
    expect(deployment?.servers).toHaveLength(3);
    for (const server of deployment?.servers ?? [])
      expect(server).toMatchObject({ stagedAt: expect.any(String), switchedAt: expect.any(String), error: null });
    expect(site.liveOn()).toEqual([first.commit, first.commit, first.commit]);
    expect([site.yard.kept.get("c1v1 s1"), site.yard.kept.get("c1v2 s1")]).toEqual([first.commit, first.commit]);
    expect(site.yard.settled.get(first.id)).toEqual([true]);
    expect((await findWebsiteOnYard(site.store, "s1"))?.release).toBe(first.commit);
  });

  test("is told step by step, live and in the site.store alike", async () => {
    site.start();
    const deployment = await site.deploy(pushOf("s1", 1), 1);
    expect(site.lines()).toEqual([
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
    expect(await deploymentEvents(site.store, deployment?.id ?? 0, 0)).toEqual({ events: site.yard.events, isFinal: true });
  });

  test("notes when each server switched, and how its clock stood to control's", async () => {
    site.yard.clockOffsets.set("c1b2", -1.25);
    site.start();
    const deployment = await site.deploy(pushOf("s1", 1), 1);
    const offsets = deployment?.servers.map(({ name, switchedAt, clockOffsetMs }) => [name, switchedAt !== null, clockOffsetMs]);
    expect(offsets).toEqual([
      ["c1b1", true, 0],
      ["c1b2", true, -1.25],
      ["c1s", true, 0],
    ]);
  });

  test("that comes twice deploys once", async () => {
    site.start();
    await site.deploy(pushOf("s1", 1), 1);
    site.yard.push(pushOf("s1", 1));
    await site.deploy(pushOf("s1", 2), 2);
    expect(await ended(site, 2)).toHaveLength(2);
  });

  test("for a website that the yard does not have is refused with the reason, and holds nobody up", async () => {
    site.start();
    site.yard.push(pushOf("s9", 1));
    expect(await site.deploy(pushOf("s1", 2), 1)).toMatchObject({ website: "s1", state: "live" });
    expect(site.yard.settled.get("s9-1")).toEqual([false]);
  });

  test("to a cluster without boxes fails with what to do", async () => {
    await site.store.deleteFrom("server").where("name", "in", ["c1b1", "c1b2"]).execute();
    site.start();
    const deployment = await site.deploy(pushOf("s1", 1), 1);
    expect(deployment).toMatchObject({ state: "failed", reason: expect.stringContaining("boxyard cluster scale c1") });
    expect(site.lines().at(-2)).toBe("live now: nothing on c1s");
    expect(site.lines().at(-1)).toMatch(/; when that is fixed: git push$/);
    expect(site.yard.settled.get("s1-1")).toEqual([false]);
  });

  test("that waits is overtaken by a newer one", async () => {
    for (const nth of [1, 2, 3]) site.yard.push(pushOf("s1", nth));
    site.start();
    const all = await ended(site, 3);
    expect(all.at(-1)?.state).toBe("live");
    expect(all.filter((one) => one.state === "superseded").length).toBeGreaterThanOrEqual(1);
    const overtaken = site.lines().filter((line) => line.startsWith("superseded"));
    for (const line of overtaken) expect(line).toMatch(/; live now: .* on c1b1, c1b2, c1s; see: boxyard deployment watch \d+$/);
    for (const one of all) expect(site.yard.settled.get(one.push ?? "")).toEqual([one.state === "live"]);
    expect(site.liveOn()).toEqual(CARRIERS.map(() => all.at(-1)?.commit));
  });

  test.each([
    ["ahead, as is known", 300_000, 300_000],
    ["ahead, as nobody knows", 300_000, 0],
    ["behind, as is known", -300_000, -300_000],
  ])("is as new as it is, whatever its server's clock says: %s", async (_how, aheadMs, knownMs) => {
    const { order } = site.start();
    site.yard.clockOffsets.set("git1", knownMs);
    const pushNow = (nth: number): Push => ({ ...pushOf("s1", nth), acceptedAt: timestampOf(site.clock.nowMicros() + aheadMs * 1_000) });
    const again = {
      website: "s1",
      commit: pushOf("s1", 9).commit,
      kind: "deploy",
      caller: "anna",
      holdSeconds: null,
      needsBuild: false,
    } as const;
    expect(await site.deploy(pushNow(1), 1)).toMatchObject({ state: "live" });
    await order(again);
    expect((await ended(site, 2)).at(-1)).toMatchObject({ state: "live", commit: again.commit });
    expect(await site.deploy(pushNow(2), 3)).toMatchObject({ state: "live" });
    await order(again);
    expect((await ended(site, 4)).map(({ state }) => state)).toEqual(["live", "live", "live", "live"]);
  });

  test("that arrives after a newer one is live does not replace it", async () => {
    site.start();
    await site.deploy(pushOf("s1", 2), 1);
    expect(await site.deploy(pushOf("s1", 1), 2)).toMatchObject({ state: "superseded" });
    expect(site.liveOn()[0]).toBe(pushOf("s1", 2).commit);
  });
});

describe("when a server", () => {
  beforeEach(async () => {
    site.start();
    await site.deploy(pushOf("s1", 1), 1);
  });

  test("that is the shell server cannot stage, the deployment goes on and no cache is asked anything", async () => {
    site.script = (server, action) => (server === "c1s" && action === "release.stage" ? "refuses" : "ok");
    expect(await site.deploy(pushOf("s1", 2), 2)).toMatchObject({ state: "live" });
    expect(site.lines()).toContain("going on without c1s, it follows as soon as it can: c1s: no space left on device");
    expect(await fenced()).toEqual([]);
  });

  test("is only just reconnecting, staging waits for it", async () => {
    site.script = (server, action, nth) => (server === "c1b2" && action === "release.stage" && nth < 3 ? "away" : "ok");
    expect(await site.deploy(pushOf("s1", 2), 2)).toMatchObject({ state: "live" });
    expect(site.lines()).toContain("waiting: c1b2 is not connected");
  });

  test.each(["refuses", "deaf", "mute", "late-and-mute"] as const)("%s at the switch, all go back", async (behaviour) => {
    site.script = (server, action, nth) => (server === "c1b2" && action === "release.switch" && nth === 1 ? behaviour : "ok");
    const deployment = await site.deploy(pushOf("s1", 2), 2);
    expect(deployment).toMatchObject({ state: "rolled-back", reason: expect.stringMatching(/^cannot switch to 1002000: c1b2/) });
    expect(new Set(site.liveOn())).toEqual(new Set([pushOf("s1", 1).commit]));
    expect((await findWebsiteOnYard(site.store, "s1"))?.release).toBe(pushOf("s1", 1).commit);
    expect(site.yard.settled.get("s1-2")).toEqual([false]);
  });

  test("answers the front page with an error, all go back and the pages are banned again", async () => {
    site.yard.statuses.set("c1b2", 500);
    const deployment = await site.deploy(pushOf("s1", 2), 2);
    expect(deployment).toMatchObject({ state: "rolled-back", reason: expect.stringContaining("c1b2: its front page answers 500") });
    expect(deployment?.servers.find(({ name }) => name === "c1b2")?.error).toContain("its front page answers 500");
    expect(new Set(site.liveOn())).toEqual(new Set([pushOf("s1", 1).commit]));
    expect((await findWebsiteOnYard(site.store, "s1"))?.release).toBe(pushOf("s1", 1).commit);
    expect(site.yard.kept.get("c1v1 s1")).toBe(pushOf("s1", 1).commit);
  });

  test("is removed from the yard while it stages, nobody waits for it", async () => {
    site.script = (server) => (server === "c1b2" ? "away" : "ok");
    site.yard.push(pushOf("s1", 2));
    await until("the wait", async () => (site.lines().some((line) => line.startsWith("waiting:")) ? true : null), {
      timeoutMs: 5_000,
      everyMs: 1,
      clock: site.clock,
    });
    await site.store.deleteFrom("server").where("name", "=", "c1b2").execute();
    expect((await ended(site, 2)).at(-1)).toMatchObject({ state: "live" });
  });

  test("that is a cache does not let go of old pages, visitors go through the other one until it has", async () => {
    let isDeaf = true;
    site.script = (server, action) => (isDeaf && server === "c1v2" && action === "cache.ban-pages" ? "refuses" : "ok");
    expect(await site.deploy(pushOf("s1", 2), 2)).toMatchObject({ state: "live" });
    expect(site.lines()).toContain("c1v2 is fenced until it has caught up: c1v2: no space left on device");
    expect(await fenced()).toEqual(["c1v2"]);
    isDeaf = false;
    await returned();
    expect(site.yard.kept.get("c1v2 s1")).toBe(pushOf("s1", 2).commit);
  });
});

describe("when a box cannot stage", () => {
  const isBroken = (server: string, action: string) => server === "c1b2" && action !== "release.probe" && action !== "server.status";

  beforeEach(async () => {
    site.start();
    await site.deploy(pushOf("s1", 1), 1);
  });

  test("whose clock is wrong is fenced before anything is staged on it, and takes part again when its clock is right", async () => {
    site.yard.clockOffsets.set("c1b2", 60_000);
    expect(await site.deploy(pushOf("s1", 2), 2)).toMatchObject({ state: "live" });
    expect(await fenced()).toEqual(["c1b2"]);
    const staged = site.yard.asked.filter(({ action, release }) => action === "release.stage" && release === pushOf("s1", 2).commit);
    expect(staged.map(({ server }) => server).toSorted()).toEqual(["c1b1", "c1s"]);
    expect(site.yard.serverLines).toEqual([expect.stringMatching(/^c1b2 is fenced: its clock is 60 s ahead of control's/)]);
    site.yard.clockOffsets.delete("c1b2");
    await returned();
    expect(site.liveOn()).toEqual(CARRIERS.map(() => pushOf("s1", 2).commit));
  });

  test("when all clocks are wrong, nothing is changed and nobody is fenced", async () => {
    for (const box of ["c1b1", "c1b2"]) site.yard.clockOffsets.set(box, -60_000);
    const deployment = await site.deploy(pushOf("s1", 2), 2);
    expect(deployment).toMatchObject({ state: "failed", reason: expect.stringMatching(/c1b1, c1b2: its clock is 60 s behind control's/) });
    expect(await fenced()).toEqual([]);
    expect(site.liveOn()).toEqual(CARRIERS.map(() => pushOf("s1", 1).commit));
  });

  test.each(["refuses", "away"] as const)(
    "(it %s) it gets no visitors, the others go on, and it returns when it serves what they serve",
    async (how) => {
      let isOver = false;
      site.script = (server, action) => (!isOver && isBroken(server, action) ? how : "ok");
      const deployment = await site.deploy(pushOf("s1", 2), 2);
      expect(deployment).toMatchObject({ state: "live" });
      expect(deployment?.servers.map(({ name, isLeftOut }) => [name, isLeftOut])).toEqual([
        ["c1b1", false],
        ["c1b2", true],
        ["c1s", false],
      ]);
      expect(site.lines().at(-1)).toMatch(/^live: .*without c1b2, which gets no visitors until it has caught up; undo/);
      expect([site.yard.rotation.get("c1v1"), site.yard.rotation.get("c1v2")]).toEqual([["c1b1"], ["c1b1"]]);
      expect(await fenced()).toEqual(["c1b2"]);
      expect(site.yard.serverLines).toEqual([expect.stringMatching(/^c1b2 is fenced: /)]);
      isOver = true;
      await returned();
      expect(site.liveOn()).toEqual(CARRIERS.map(() => pushOf("s1", 2).commit));
      await until("its visitors", async () => site.yard.rotation.get("c1v1")?.includes("c1b2") || null, {
        timeoutMs: 2_000,
        everyMs: 5,
        clock: site.clock,
      });
      expect(await site.deploy(pushOf("s1", 3), 3)).toMatchObject({ state: "live" });
      expect(site.liveOn()).toEqual(CARRIERS.map(() => pushOf("s1", 3).commit));
    },
  );

  test("and is right in all else, it does not return before the deployment that goes on without it has ended", async () => {
    site.script = (server, action) => (server === "c1b2" && action === "release.stage" ? "refuses" : "ok");
    expect(await site.deploy(pushOf("s1", 2), 2)).toMatchObject({ state: "live" });
    expect(site.lines().filter((line) => line.startsWith("going on without c1b2"))).toHaveLength(1);
    expect(site.lines().at(-1)).toContain("without c1b2");
    await returned();
  });

  test("no switch is asked for before both caches have confirmed; one that does not is left aside itself", async () => {
    site.script = (server, action) => (isBroken(server, action) ? "away" : server === "c1v2" && action === "converge" ? "away" : "ok");
    expect(await site.deploy(pushOf("s1", 2), 2)).toMatchObject({ state: "live" });
    expect(site.yard.rotation.get("c1v1")).toEqual(["c1b1"]);
    expect(await fenced()).toEqual(["c1b2", "c1v2"]);
  });

  test("and no cache confirms, nothing changes", async () => {
    site.script = (server, action) => (isBroken(server, action) || action === "converge" ? "away" : "ok");
    const deployment = await site.deploy(pushOf("s1", 2), 2);
    expect(deployment).toMatchObject({ state: "failed", reason: expect.stringContaining("c1v1, c1v2 have not confirmed") });
    expect(new Set(site.liveOn())).toEqual(new Set([pushOf("s1", 1).commit]));
  });

  test("and too few are left, nothing changes anywhere and the pusher reads why", async () => {
    await site.store.updateTable("cluster").set({ min_boxes: 2 }).execute();
    site.script = (server, action) => (isBroken(server, action) ? "refuses" : "ok");
    const deployment = await site.deploy(pushOf("s1", 2), 2);
    expect(deployment).toMatchObject({ state: "failed", reason: "cannot stage 1002000: c1b2: no space left on device" });
    expect(deployment?.servers.find((server) => server.name === "c1b2")?.error).toContain("no space left on device");
    for (const name of ["c1b1", "c1s"])
      expect(deployment?.servers.find((server) => server.name === name)).toMatchObject({ stagedAt: expect.any(String), error: null });
    expect(site.lines().slice(-2)).toEqual([
      "live now: 1001000 on c1b1, c1b2, c1s",
      `failed: ${deployment?.reason}; nothing changed: s1 still serves 1001000; when that is fixed: git push`,
    ]);
    expect(new Set(site.liveOn())).toEqual(new Set([pushOf("s1", 1).commit]));
    expect(site.yard.asked.filter((one) => one.action === "release.switch" && one.release === pushOf("s1", 2).commit)).toEqual([]);
    expect(await fenced()).toEqual([]);
  });

  test("and returns while another deployment is being staged, that one takes it along", async () => {
    let isOver = false;
    site.script = (server, action) => (!isOver && isBroken(server, action) ? "away" : "ok");
    await site.deploy(pushOf("s1", 2), 2);
    isOver = true;
    for (const nth of [3, 4, 5, 6]) await site.deploy(pushOf("s1", nth), nth);
    await returned();
    expect(await site.deploy(pushOf("s1", 7), 7)).toMatchObject({ state: "live" });
    expect(site.liveOn()).toEqual(CARRIERS.map(() => pushOf("s1", 7).commit));
  });
});

test.each(["release.stage", "release.switch", "release.probe"])(
  "a website deleted at %s ends its deployment and the next website is served",
  async (action) => {
    await addWebsite(site.store, { website: "s2", cluster: "c2", servers: { c2b1: "box", c2s: "shell" } });
    let isDeleted = false;
    site.script = (server, asked) => {
      if (server === "c1b1" && asked === action && !isDeleted) {
        isDeleted = true;
        void site.store.deleteFrom("website").where("id", "=", "s1").execute();
        return "refuses";
      }
      return isDeleted && server.startsWith("c1") ? "refuses" : "ok";
    };
    site.start();
    site.yard.push(pushOf("s1", 1));
    site.yard.push(pushOf("s2", 2));
    const all = await ended(site, 2);
    expect(all.find((one) => one.website === "s1")?.state).toMatch(/failed|rolled-back/);
    expect(all.find((one) => one.website === "s2")?.state).toBe("live");
  },
);

test("the git server is told again until it answers", async () => {
  site.script = (server, _action, nth) => (server === "git1" && nth < 1 ? "away" : "ok");
  site.start();
  site.yard.push(pushOf("s1", 1));
  await until("the push to be settled", async () => (site.yard.settled.has("s1-1") ? true : null), {
    timeoutMs: 10_000,
    everyMs: 20,
    clock: site.clock,
  });
  expect(site.yard.settled.get("s1-1")).toEqual([true]);
});
