import { beforeEach, describe, expect, test } from "vitest";
import { until } from "#base/retry.ts";
import { addGitServer, ended, pushOf } from "#harness/deployments.ts";
import { useOneWebsite } from "#harness/one-website.ts";
import { listDeployments } from "../store/deployments.ts";
import type { Coordinator } from "./coordinator.ts";

const [first, second] = [pushOf("s1", 1), { ...pushOf("s1", 2), needsBuild: true }];
const site = useOneWebsite();
let control: Coordinator;

beforeEach(async () => {
  control = site.start();
  await site.deploy(first, 1);
});

/** Of the second deployment. */
function lines(): string[] {
  return site.yard.events.filter(({ commit }) => commit === second.commit).map(({ line }) => line);
}

const deploySecond = () => site.deploy(second, 2);

describe("a commit that has to be built", () => {
  test("is built in a server of its own before anything is staged, and the pusher sees it", async () => {
    expect(await deploySecond()).toMatchObject({ state: "live" });
    expect(lines().slice(0, 4)).toEqual([
      "building 1002000 (s1 still serves 1001000)",
      "s1x is there: a server for this build alone",
      "  $ make",
      expect.stringMatching(/^built in \d+ ms; staging on c1b1, c1b2, c1s$/),
    ]);
  });

  test("that fails changes nothing anywhere", async () => {
    site.yard.isBuildFailing = true;
    expect(await deploySecond()).toMatchObject({ state: "failed", reason: "cannot build 1002000: it ended with exit status 2" });
    expect(lines().at(-1)).toContain("nothing changed: s1 still serves 1001000; when that is fixed: git push");
    expect(site.yard.asked.some(({ action, release }) => action === "release.stage" && release === second.commit)).toBe(false);
  });

  test("waits for its server, which takes a while to be there, and not for ever", async () => {
    site.script = (server, _, nth) => (server === "s1x" && nth < 4 ? "away" : "ok");
    expect(await deploySecond()).toMatchObject({ state: "live" });
    site.script = (server) => (server === "s1x" ? "away" : "ok");
    site.yard.push({ ...pushOf("s1", 3), needsBuild: true });
    expect((await ended(site, 3)).at(-1)).toMatchObject({ state: "failed", reason: "cannot build 1003000: s1x is not connected" });
  });

  test("is built again when one goes back to it, long after what was built of it has gone", async () => {
    await addGitServer(site.store);
    const order = (commit: string) =>
      control.order({ website: "s1", commit, kind: "rollback", caller: "anna", holdSeconds: null, needsBuild: false });
    const wasBuilt = (commit: string) => site.yard.events.some((event) => event.state === "building" && event.commit === commit);
    for (let nth = 2; nth <= 6; nth++) {
      site.yard.push(pushOf("s1", nth));
      await ended(site, nth);
    }
    site.yard.unbuilt.add(first.commit).add(second.commit);
    await order(second.commit);
    expect((await ended(site, 7)).at(-1)).toMatchObject({ state: "live" });
    // One of those that servers and the git server keep.
    expect(wasBuilt(second.commit)).toBe(false);
    await order(first.commit);
    expect((await ended(site, 8)).at(-1)).toMatchObject({ state: "live" });
    expect(wasBuilt(first.commit)).toBe(true);
  });

  test("can be cancelled meanwhile", async () => {
    site.script = (server) => (server === "s1x" ? "deaf" : "ok");
    site.yard.push(second);
    const building = await until(
      "the build",
      async () => (await listDeployments(site.store, { limit: 5 })).find(({ state }) => state === "building") ?? null,
      {
        timeoutMs: 5_000,
        everyMs: 2,
        clock: site.clock,
      },
    );
    await control.cancel(building.id, "anna");
    expect((await ended(site, 2)).at(-1)).toMatchObject({ state: "failed", reason: "cancelled by anna" });
  });
});
