import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { until } from "#base/retry.ts";
import { addGitServer, addWebsite, ended, pushOf, startQuickly } from "#harness/deployments.ts";
import { startPostgres, type TestPostgres } from "#harness/postgres.ts";
import { type Behaviour, SimulatedYard } from "#harness/simulated-yard.ts";
import { listDeployments } from "../store/deployments.ts";
import type { Store } from "../store/schema.ts";
import type { Coordinator } from "./coordinator.ts";

const [first, second] = [pushOf("s1", 1), { ...pushOf("s1", 2), needsBuild: true }];
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
  await addWebsite(store, { website: "s1", cluster: "c1", servers: { c1b1: "box", c1b2: "box", c1s: "shell", c1v1: "cache" } });
  script = () => "ok";
  yard = new SimulatedYard((server, action, nth) => script(server, action, nth));
  coordinator = startQuickly(store, yard.fabric());
  yard.push(first);
  await ended(store, 1);
});
afterEach(async () => {
  await coordinator.stop();
  await store.destroy();
});

function lines(): string[] {
  return yard.events.filter(({ commit }) => commit === second.commit).map(({ line }) => line);
}

async function deploySecond() {
  yard.push(second);
  return (await ended(store, 2)).at(-1);
}

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
    yard.isBuildFailing = true;
    expect(await deploySecond()).toMatchObject({ state: "failed", reason: "cannot build 1002000: it ended with exit status 2" });
    expect(lines().at(-1)).toContain("nothing changed: s1 still serves 1001000; when that is mended: git push");
    expect(yard.asked.some(({ action, release }) => action === "release.stage" && release === second.commit)).toBe(false);
  });

  test("waits for its server, which takes a while to be there, and not for ever", async () => {
    script = (server, _, nth) => (server === "s1x" && nth < 4 ? "away" : "ok");
    expect(await deploySecond()).toMatchObject({ state: "live" });
    script = (server) => (server === "s1x" ? "away" : "ok");
    yard.push({ ...pushOf("s1", 3), needsBuild: true });
    expect((await ended(store, 3)).at(-1)).toMatchObject({ state: "failed", reason: "cannot build 1003000: s1x is not connected" });
  });

  test("is built again when one goes back to it, long after what was built of it has gone", async () => {
    await addGitServer(store);
    const order = (commit: string) =>
      coordinator.order({ website: "s1", commit, kind: "rollback", caller: "anna", holdSeconds: null, needsBuild: false });
    const wasBuilt = (commit: string) => yard.events.some((event) => event.state === "building" && event.commit === commit);
    for (let nth = 2; nth <= 6; nth++) {
      yard.push(pushOf("s1", nth));
      await ended(store, nth);
    }
    yard.unbuilt.add(first.commit).add(second.commit);
    await order(second.commit);
    expect((await ended(store, 7)).at(-1)).toMatchObject({ state: "live" });
    // One of those that servers and the git server keep.
    expect(wasBuilt(second.commit)).toBe(false);
    await order(first.commit);
    expect((await ended(store, 8)).at(-1)).toMatchObject({ state: "live" });
    expect(wasBuilt(first.commit)).toBe(true);
  });

  test("can be called off meanwhile", async () => {
    script = (server) => (server === "s1x" ? "away" : "ok");
    yard.push(second);
    const building = await until(
      "the build",
      async () => (await listDeployments(store, { limit: 5 })).find(({ state }) => state === "building") ?? null,
      {
        timeoutMs: 5_000,
        everyMs: 2,
      },
    );
    await coordinator.cancel(building.id, "anna");
    expect((await ended(store, 2)).at(-1)).toMatchObject({ state: "failed", reason: "cancelled by anna" });
  });
});
