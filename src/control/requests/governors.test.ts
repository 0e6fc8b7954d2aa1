import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { timestamp } from "#base/clock.ts";
import { until } from "#base/retry.ts";
import { scrub } from "#contract/actions/server.ts";
import { serviceRestart } from "#contract/actions/service.ts";
import type { Governor } from "#contract/governor.ts";
import type { RequestLine } from "#contract/request.ts";
import type { AgentFabric } from "#fabric/fabric.ts";
import { TestApi } from "#harness/api.ts";
import { takeLease } from "../store/governors.ts";
import { tendJobLeases } from "./governors.ts";

let api: TestApi;
const agents = new Map<string, AgentFabric>();
let atWork = 0;
let mostAtWork = 0;
let restarts = 0;
let workMs = 30;
let letJobsEnd = (): void => undefined;

beforeAll(async () => {
  api = await TestApi.start();
  for (const server of ["c1b1", "c1b2", "c1b3"]) {
    const agent = await api.broker.joinAsServer(server);
    agent.allowBy(async () => true);
    agent.answer(serviceRestart, async () => {
      mostAtWork = Math.max(mostAtWork, ++atWork);
      await sleep(workMs);
      atWork--;
      restarts++;
      return { service: "varnish" as const, isActive: true, state: "active", restarts: 0, memoryBytes: null };
    });
    agent.answerWithJob(scrub, async () => {
      await new Promise<void>((resolve) => {
        letJobsEnd = resolve;
      });
      return { files: 1, bytes: 1, unreadable: [] };
    });
    agents.set(server, agent);
  }
});
afterAll(() => api.stop());
beforeEach(async () => {
  await api.freshStart();
  await api.newCluster(3);
  [atWork, mostAtWork, restarts, workMs] = [0, 0, 0, 30];
});

const restart = { action: "service.restart", input: { service: "varnish" }, target: "box" };

async function governors(): Promise<Governor[]> {
  return (await api.ask("GET", "/v1/governors")).body as Governor[];
}

async function holders(): Promise<string[]> {
  return (await governors()).flatMap(({ holders }) => holders.map(({ server }) => server));
}

/** A lease ends a moment after the answer. */
async function nobodyHolds(): Promise<void> {
  await until("all leases to end", async () => (await holders()).length === 0 || null, { timeoutMs: 10_000 });
}

const outcomes = (lines: readonly RequestLine[]): string[] =>
  lines.flatMap((line) => (line.kind === "answer" ? [`${line.server} ${line.fault?.code ?? "answers"}`] : [])).sort();

describe("a governor", () => {
  test("holds for all requests together, and for those that name it alone", async () => {
    await api.ask("POST", "/v1/governors", { name: "restarts", limit: 1 });
    const governed = { ...restart, governor: "restarts" };
    await Promise.all([api.request(governed), api.request(governed)]);
    expect([restarts, mostAtWork]).toEqual([6, 1]);
    await nobodyHolds();
    workMs = 500;
    await api.request(restart);
    expect(mostAtWork).toBeGreaterThan(1);
  });

  test("of an action holds for every request for it, and the caller is told", async () => {
    await api.ask("POST", "/v1/governors", { name: "all-restarts", limit: 2, actions: ["*.restart"] });
    workMs = 500;
    const lines = await api.request(restart);
    expect(lines[0]).toMatchObject({ kind: "asked", governors: [{ name: "all-restarts", limit: 2 }] });
    expect([restarts, mostAtWork]).toEqual([3, 2]);
  });

  test("that has no room lets the deadline pass, and names whom was not asked", async () => {
    await api.ask("POST", "/v1/governors", { name: "php", limit: 1 });
    await takeLease(api.store, { governor: "php", server: "c9b1", request: "another", isJob: false, forMs: 60_000 });
    const lines = await api.request({ ...restart, governor: "php", limits: { deadlineMs: 500 } });
    expect(outcomes(lines)).toEqual(["c1b1 fabric.not-asked", "c1b2 fabric.not-asked", "c1b3 fabric.not-asked"]);
    expect(await holders()).toEqual(["c9b1"]);
  });

  test("keeps a lease as long as the server works, however soon its caller gives up: nobody else begins meanwhile", async () => {
    await api.ask("POST", "/v1/governors", { name: "php", limit: 1 });
    workMs = 600;
    const lines = await api.request({ ...restart, governor: "php", timeoutMs: 50 });
    expect(outcomes(lines)).toEqual(["c1b1 fabric.timed-out", "c1b2 fabric.timed-out", "c1b3 fabric.timed-out"]);
    await until("the last to have ended", async () => restarts === 3 || null, { timeoutMs: 10_000 });
    await nobodyHolds();
    expect(mostAtWork).toBe(1);
  });

  test("keeps it, too, when the request is cancelled, and for the action's own limit when no answer ever comes", async () => {
    await api.ask("POST", "/v1/governors", { name: "php", limit: 1 });
    workMs = 1_500;
    const asking = api.request({ ...restart, target: "c1b1", governor: "php", timeoutMs: 600 });
    const [held] = await until("it to work", async () => (atWork === 1 ? ((await governors())[0]?.holders ?? null) : null), {
      timeoutMs: 10_000,
    });
    await api.ask("DELETE", `/v1/requests/${held?.request}`);
    expect(outcomes(await asking)).toEqual(["c1b1 fabric.cancelled"]);
    expect(await holders()).toEqual(["c1b1"]);
    expect(Date.parse(held?.until ?? "") - Date.parse(held?.since ?? "")).toBeGreaterThan(serviceRestart.timeoutMs);
    await nobodyHolds();
    expect(restarts).toBe(1);
  });

  test("gets a lease back whose holder has died with it", async () => {
    await api.ask("POST", "/v1/governors", { name: "php", limit: 1 });
    await takeLease(api.store, { governor: "php", server: "c9b1", request: "of a control that died", isJob: false, forMs: 700 });
    expect(await holders()).toEqual(["c9b1"]);
    expect(outcomes(await api.request({ ...restart, governor: "php", target: "c1b1" }))).toEqual(["c1b1 answers"]);
    await nobodyHolds();
  });

  test("counts a job until it is over, as long as its server is heard of", async () => {
    await api.ask("POST", "/v1/governors", { name: "scrubs", limit: 1, actions: ["server.scrub"] });
    await api.request({ action: "server.scrub", target: "c1b1" });
    expect(await holders()).toEqual(["c1b1"]);
    const at = timestamp();
    const reached = { count: 1, generation: 1, targetGeneration: 1, roles: ["box" as const], faults: [], releases: {}, facts: {} };
    await agents.get("c1b1")?.putStatus({ server: "c1b1", at, startedAt: at, ...reached });
    await until("the heartbeat", async () => api.fabric.registry().has("c1b1") || null, { timeoutMs: 5_000 });
    const [before] = await governors();
    await sleep(20);
    await tendJobLeases(api.store, api.fabric);
    const [renewed] = await governors();
    expect(Date.parse(renewed?.holders[0]?.until ?? "")).toBeGreaterThan(Date.parse(before?.holders[0]?.until ?? ""));
    letJobsEnd();
    await until(
      "the lease to end",
      async () => {
        await tendJobLeases(api.store, api.fabric);
        return (await holders()).length === 0 || null;
      },
      { timeoutMs: 5_000 },
    );
  });

  test("that is not there, or of an action that is not, is refused", async () => {
    expect((await api.faultOf("POST", "/v1/requests", { ...restart, governor: "phq" })).code).toBe("governor.unknown");
    expect((await api.faultOf("POST", "/v1/governors", { name: "php", limit: 1, actions: ["serv.*"] })).code).toBe("governor.invalid");
    expect((await api.faultOf("POST", "/v1/governors", { name: "php", limit: 0 })).status).toBe(400);
    expect((await api.faultOf("DELETE", "/v1/governors/php")).code).toBe("governor.unknown");
  });
});
