import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { ping } from "#contract/actions/server.ts";
import { serviceRestart, serviceStatus } from "#contract/actions/service.ts";
import { api as routes } from "#contract/api/routes.ts";
import type { AuditEntry } from "#contract/audit.ts";
import type { Policy } from "#contract/policy.ts";
import type { RequestLine } from "#contract/request.ts";
import { mayAsk } from "#fabric/policy.ts";
import { TestApi } from "#harness/api.ts";
import { readPolicy } from "../store/people.ts";

let api: TestApi;
let token: string;
const restarted: string[] = [];
/** What the servers have been told of the policy; they judge by themselves. */
let policyOnServers: Policy = {};

beforeAll(async () => {
  api = await TestApi.start();
  for (const [server, role] of [
    ["c1b1", "box"],
    ["c1v1", "cache"],
    ["c1v2", "cache"],
  ] as const) {
    const agent = await api.broker.joinAsServer(server, [role]);
    const view = { name: server, labels: new Set([role, "c1"]), facts: {} };
    agent.allowBy((caller, action) => mayAsk(policyOnServers, { caller, action }, () => view));
    agent.selectBy(async () => true);
    const state = { service: "varnish" as const, isActive: true, state: "active", restarts: 0, memoryBytes: null };
    agent.answer(serviceStatus, async () => state);
    agent.answer(ping, async () => ({ at: new Date().toISOString().replace("Z", "000Z"), generation: 1 }));
    agent.answer(serviceRestart, async () => {
      restarted.push(server);
      return state;
    });
  }
});
afterAll(() => api.stop());

beforeEach(async () => {
  await api.freshStart();
  await api.newCluster(1);
  await api.ask("POST", "/v1/policy", { role: "caches", actions: ["service.*"], target: "cache and c1" });
  const { status, body } = await api.ask("POST", "/v1/people", { name: "anna", roles: ["caches"] });
  expect(status).toBe(200);
  ({ token } = body as { token: string });
  policyOnServers = await readPolicy(api.store);
  restarted.length = 0;
});

const answered = (lines: readonly RequestLine[]): string[] =>
  lines.flatMap((line) => (line.kind === "answer" ? [`${line.server} ${line.fault?.code ?? "answers"}`] : [])).sort();

const restart = { action: "service.restart", input: { service: "varnish" } };

describe("a person", () => {
  test("asks the servers of a rule for what it names", async () => {
    expect(answered(await api.request({ ...restart, target: "cache" }, token))).toEqual(["c1v1 answers", "c1v2 answers"]);
    expect(restarted.sort()).toEqual(["c1v1", "c1v2"]);
  });

  test("who names no target reaches the permitted servers, and nobody else", async () => {
    expect(answered(await api.request({ action: "service.status", input: { service: "varnish" } }, token))).toEqual([
      "c1v1 answers",
      "c1v2 answers",
    ]);
  });

  test.each([
    { what: "another server", asked: { ...restart, target: "c1b1" } },
    { what: "a target that has others in it", asked: { ...restart, target: "c1" } },
    { what: "all", asked: { ...restart, target: "all" } },
    { what: "another action", asked: { action: "server.ping", target: "cache" } },
    { what: "another server by broadcast", asked: { ...restart, target: "c1b1", broadcast: true } },
  ])("is refused $what, before anybody is asked, and it is in the audit", async ({ what, asked }) => {
    if (what === "another server by broadcast") {
      // Whom a broadcast means is for the servers to say: those outside the rule are not among them.
      expect(answered(await api.request(asked, token))).not.toContain("c1b1 answers");
      expect(restarted).not.toContain("c1b1");
      return;
    }
    expect(await api.faultOf("POST", "/v1/requests", asked, token)).toMatchObject({ status: 403, code: "policy.refused" });
    expect(restarted).toEqual([]);
    const entries = (await api.ask("GET", "/v1/audit")).body as AuditEntry[];
    expect(entries.at(-1)).toMatchObject({ kind: "refused", caller: "anna", action: asked.action });
  });

  test("whom control lets pass and the server does not is refused by the server", async () => {
    policyOnServers = {};
    expect(answered(await api.request({ ...restart, target: "cache" }, token))).toEqual([
      "c1v1 fabric.refused-caller",
      "c1v2 fabric.refused-caller",
    ]);
    expect(restarted).toEqual([]);
  });

  test("who is no operator enters only what is open to all, whatever the route", async () => {
    for (const { method, path, isOpen } of Object.values(routes) as { method: string; path: string; isOpen?: boolean }[]) {
      if (isOpen) continue;
      const concrete = path.replaceAll(/\{(\w+)\}/g, (_, name: string) => ({ cluster: "c1", website: "s1", person: "anna" })[name] ?? "1");
      expect(await api.faultOf(method, concrete, method === "GET" ? undefined : {}, token), path).toMatchObject({ status: 403 });
    }
    expect((await api.ask("GET", "/v1/status", undefined, token)).status).toBe(200);
  });

  test("with the role operator may everything", async () => {
    const { body } = await api.ask("POST", "/v1/people", { name: "ben", roles: ["operator"] });
    const ben = (body as { token: string }).token;
    expect((await api.ask("GET", "/v1/people", undefined, ben)).body).toMatchObject([{ name: "anna", roles: ["caches"] }, { name: "ben" }]);
    policyOnServers = await readPolicy(api.store);
    expect(answered(await api.request({ ...restart, target: "c1b1" }, ben))).toEqual(["c1b1 answers"]);
  });

  test("who is removed, or has a new token, does not enter with the old one", async () => {
    const renewed = (await api.ask("POST", "/v1/people/anna/token", {})).body as { token: string };
    expect((await api.faultOf("GET", "/v1/status", undefined, token)).status).toBe(401);
    expect((await api.ask("GET", "/v1/status", undefined, renewed.token)).status).toBe(200);
    await api.ask("DELETE", "/v1/people/anna");
    expect((await api.faultOf("GET", "/v1/status", undefined, renewed.token)).status).toBe(401);
    expect((await api.faultOf("DELETE", "/v1/people/anna")).code).toBe("person.unknown");
  });

  test("loses a right with its rule", async () => {
    const [rule] = (await api.ask("GET", "/v1/policy")).body as { number: number }[];
    await api.ask("DELETE", `/v1/policy/${rule?.number}`);
    expect((await api.faultOf("POST", "/v1/requests", { ...restart, target: "cache" }, token)).code).toBe("policy.refused");
  });

  test("is not in the rows with a token that could be used", async () => {
    const rows = await api.store.selectFrom("person").selectAll().execute();
    expect(JSON.stringify(rows)).not.toContain(token);
  });

  test.each([
    { path: "/v1/people", input: { name: "control", roles: ["caches"] }, why: "Boxyard's own" },
    { path: "/v1/people", input: { name: "operator", roles: ["caches"] }, why: "Boxyard's own" },
    { path: "/v1/people", input: { name: "Anna; drop", roles: ["caches"] }, why: "a person's name" },
    { path: "/v1/people", input: { name: "carl", roles: ["cachs"] }, why: "no rule is for a role" },
    { path: "/v1/people", input: { name: "carl", roles: [] }, why: "give a role" },
    { path: "/v1/people", input: { name: "anna", roles: ["caches"] }, why: "there is a anna already" },
    { path: "/v1/policy", input: { role: "x", actions: ["release.switch"], target: "all" }, why: "there is no action" },
    { path: "/v1/policy", input: { role: "x", actions: ["service.*"], target: "cach" }, why: "no server, role, cluster" },
    { path: "/v1/policy", input: { role: "x", actions: ["service.*"], target: "disk('/').used>80" }, why: "live question" },
    { path: "/v1/policy", input: { role: "x", actions: ["service.*"], target: "cache and" }, why: "target" },
    { path: "/v1/policy", input: { role: "operator", actions: ["service.*"], target: "all" }, why: "everything already" },
  ])("or a rule that cannot be is refused: $why", async ({ path, input, why }) => {
    const fault = await api.faultOf("POST", path, input);
    expect(fault.status).toBeLessThan(500);
    expect(fault.message).toContain(why === "target" ? "" : why);
  });
});
