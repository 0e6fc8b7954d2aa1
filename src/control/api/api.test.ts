import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { timestamp } from "#base/clock.ts";
import { until } from "#base/retry.ts";
import { disk } from "#contract/actions/server.ts";
import { Cluster } from "#contract/api/clusters.ts";
import type { Server } from "#contract/api/servers.ts";
import { Website } from "#contract/api/websites.ts";
import type { AuditEntry } from "#contract/audit.ts";
import { FaultReport } from "#contract/fault.ts";
import type { RequestLine } from "#contract/request.ts";
import { matches } from "#fabric/targets/match.ts";
import { TestApi, TOKEN } from "#harness/api.ts";
import { listSpecs } from "../store/specs.ts";

const KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPPmG2pFhiw8tnKCfxTOGBRK9SrmnRrWkJEzSTGbQ4c5 someone@example";

let api: TestApi;
beforeAll(async () => {
  api = await TestApi.start();
});
afterAll(() => api.stop());
beforeEach(() => api.freshStart());

const ask: TestApi["ask"] = (...given) => api.ask(...given);
const faultOf: TestApi["faultOf"] = (...given) => api.faultOf(...given);
const request: TestApi["request"] = (...given) => api.request(...given);
const newCluster: TestApi["newCluster"] = (boxes) => api.newCluster(boxes);

async function newWebsite(cluster: string, domain: string): Promise<Website> {
  const { status, body } = await ask("POST", "/v1/websites", { cluster, domain });
  expect(status).toBe(200);
  return Website.parse(body);
}

describe("the door", () => {
  test.each(["", "wrong", `${TOKEN}x`, TOKEN.slice(0, -1)])("stays shut for the token “%s”, whatever the route", async (token) => {
    for (const path of ["/v1/status", "/v1/nothing"]) {
      const { status, body } = await ask("GET", path, undefined, token);
      expect([status, FaultReport.parse(body).code]).toEqual([401, "api.unauthorized"]);
    }
  });

  test.each([
    { what: "an unknown route", path: "/v1/nothing", status: 404, code: "api.unknown-route" },
    { what: "text that is not JSON", path: "/v1/clusters", input: "{boxes", status: 400, code: "api.bad-input" },
    { what: "JSON of another kind", path: "/v1/clusters", input: [1], status: 400, code: "api.bad-input" },
    { what: "a body without end", path: "/v1/clusters", input: "x".repeat(300 * 1024), status: 413, code: "api.too-large" },
  ])("refuses $what", async ({ path, input, status, code }) => {
    expect(await faultOf("POST", path, input ?? {})).toMatchObject({ status, code });
  });

  test("tells everyone that who is behind it leads, and nothing else", async () => {
    const response = await api.app.request("/v1/leader");
    expect([response.status, await response.text()]).toEqual([204, ""]);
    expect((await api.app.request("/v1/leader", { method: "POST" })).status).toBe(401);
  });

  test("says nothing of its inside when it fails itself", async () => {
    await api.store.schema.alterTable("cluster").renameTo("kept").execute();
    try {
      const { status, message } = await faultOf("GET", "/v1/clusters");
      expect([status, message]).toEqual([500, "control met an unexpected error"]);
    } finally {
      await api.store.schema.alterTable("kept").renameTo("cluster").execute();
    }
  });
});

describe("what builds and hooks may take", () => {
  test("is as usual until an operator decides otherwise, and what is not named stays", async () => {
    expect((await ask("GET", "/v1/limits")).body).toMatchObject({ buildSeconds: 3_600, hookSeconds: 3_600, buildMemoryMegabytes: 2_048 });
    await ask("PATCH", "/v1/limits", { hookSeconds: 60 });
    const { body } = await ask("PATCH", "/v1/limits", { buildProcessors: 0.5 });
    expect(body).toMatchObject({ buildSeconds: 3_600, hookSeconds: 60, buildProcessors: 0.5 });
    expect((await ask("GET", "/v1/limits")).body).toEqual(body);
    expect(await faultOf("PATCH", "/v1/limits", { hookSeconds: 0 })).toMatchObject({ status: 400, code: "api.bad-input" });
  });

  test("is told the servers that it concerns", async () => {
    await newCluster(1);
    await ask("PATCH", "/v1/limits", { hookSeconds: 60 });
    await until("the plan", async () => (await listSpecs(api.store)).some(({ roles }) => roles.shell?.limits.hookSeconds === 60) || null, {
      timeoutMs: 10_000,
    });
  });
});

describe("where packages come from", () => {
  test("is an operator's to say, and certificates that are none are refused", async () => {
    const { body } = await ask("PATCH", "/v1/package-sources", { npmrc: "proxy=http://proxy.example.test:3128\n" });
    expect(body).toEqual({ npmrc: "proxy=http://proxy.example.test:3128\n", authorities: "" });
    for (const authorities of ["none", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"])
      expect(await faultOf("PATCH", "/v1/package-sources", { authorities })).toMatchObject({ code: "settings.bad-authorities" });
    expect((await ask("GET", "/v1/package-sources")).body).toEqual(body);
  });
});

describe("a cluster", () => {
  test("is two caches, a shell server and its boxes, each with an address of its own", async () => {
    const cluster = await newCluster(2);
    expect(cluster.servers.map(({ name, roles, state }) => [name, ...roles, state])).toEqual([
      ["c1b1", "box", "creating"],
      ["c1b2", "box", "creating"],
      ["c1s", "shell", "creating"],
      ["c1v1", "cache", "creating"],
      ["c1v2", "cache", "creating"],
    ]);
    expect(new Set(cluster.servers.map(({ address }) => address)).size).toBe(5);
    expect(cluster).toMatchObject({ id: "c1", boxes: 2, isReady: false });
    expect(api.changes).toBe(1);
  });

  test("that is scaled down loses its highest boxes, and up again takes numbers that nobody has", async () => {
    await newCluster(3);
    const smaller = Cluster.parse((await ask("PATCH", "/v1/clusters/c1", { boxes: 1 })).body);
    expect(smaller.servers.filter(({ state }) => state === "deleting").map(({ name }) => name)).toEqual(["c1b2", "c1b3"]);
    const larger = Cluster.parse((await ask("PATCH", "/v1/clusters/c1", { boxes: 2 })).body);
    expect(larger.servers.filter(({ state }) => state === "creating").map(({ name }) => name)).toContain("c1b4");
    expect(larger.boxes).toBe(2);
  });

  test("each of many made at once is whole, and no address is given twice", async () => {
    await Promise.all([newCluster(2), newCluster(2), newCluster(2), newCluster(2)]);
    const servers = (await ask("GET", "/v1/servers")).body as { address: string }[];
    expect(servers).toHaveLength(3 + 4 * 5);
    expect(new Set(servers.map(({ address }) => address)).size).toBe(servers.length);
  });

  test("with websites is not deleted, and says which", async () => {
    await newCluster();
    await newWebsite("c1", "a.example");
    expect(await faultOf("DELETE", "/v1/clusters/c1")).toMatchObject({ status: 409, code: "cluster.has-websites" });
    expect((await ask("DELETE", "/v1/websites/s1")).status).toBe(200);
    expect((await ask("DELETE", "/v1/clusters/c1")).status).toBe(200);
    expect(await faultOf("GET", "/v1/clusters/c1")).toMatchObject({ status: 404, code: "cluster.unknown" });
  });

  test.each([0, -1, 65, 1.5, "two", null])("of %s boxes is refused, and nothing is made", async (boxes) => {
    expect(await faultOf("POST", "/v1/clusters", { boxes })).toMatchObject({ status: 400, code: "api.bad-input" });
    expect((await ask("GET", "/v1/clusters")).body).toEqual([]);
    expect(api.changes).toBe(0);
  });

  test("that does not fit into the yard's network is refused whole", async () => {
    await newCluster(64);
    await newCluster(64);
    await newCluster(64);
    // Their generations rise meanwhile.
    const names = async () => ((await ask("GET", "/v1/servers")).body as Server[]).map(({ name }) => name);
    const before = await names();
    expect(await faultOf("POST", "/v1/clusters", { boxes: 64 })).toMatchObject({ status: 409, code: "yard.no-address" });
    expect(await names()).toEqual(before);
    expect((await ask("GET", "/v1/clusters")).body).toHaveLength(3);
  });
});

describe("a website", () => {
  beforeEach(() => newCluster());

  test("is shown with what a script needs", async () => {
    const website = await newWebsite("c1", "a.example");
    expect(website).toMatchObject({
      id: "s1",
      cluster: "c1",
      environment: "production",
      branch: "main",
      domains: [{ name: "a.example", kind: "main" }],
      gitUrl: "ssh://s1@10.99.0.10/s1",
      release: null,
      servers: [
        { name: "c1b1", role: "box", release: null },
        { name: "c1s", role: "shell", release: null },
      ],
    });
    expect((await ask("GET", "/v1/websites/s1")).body).toEqual(website);
  });

  describe("whose releases somebody asks for", () => {
    const [older, newer] = ["abcd1".padEnd(40, "0"), "abcd2".padEnd(40, "0")];

    beforeEach(async () => {
      await newWebsite("c1", "a.example");
      for (const [index, commit] of [older, newer].entries())
        await api.store
          .insertInto("deployment")
          .values({ website: "s1", cluster: "c1", commit, state: "live", kind: "deploy", branch: "main", accepted_at: index + 1 })
          .returning("id")
          .executeTakeFirst();
      await api.store.updateTable("deployment").set({ finished_at: 1 }).where("commit", "=", older).execute();
      await api.store.updateTable("deployment").set({ finished_at: 2 }).where("commit", "=", newer).execute();
      await api.store.updateTable("website").set({ release: newer }).execute();
    });

    test("goes back to the one before, or to one that its first digits name", async () => {
      expect((await ask("POST", "/v1/websites/s1/rollback", {})).body).toMatchObject({
        kind: "rollback",
        commit: older,
        caller: "operator",
      });
      expect((await ask("POST", "/v1/websites/s1/rollback", { to: "abcd1" })).body).toMatchObject({ commit: older });
    });

    test.each([
      ["live already", { to: "abcd2" }, "deployment.is-live"],
      ["one of several", { to: "abcd" }, "deployment.ambiguous-release"],
      ["unknown", { to: "ffff" }, "deployment.no-release"],
      ["malformed", { to: "../x" }, "api.bad-input"],
    ])("refuses one that is %s", async (_what, input, code) => {
      expect((await faultOf("POST", "/v1/websites/s1/rollback", input)).code).toBe(code);
    });

    test.each(["--upload-pack=x", "../x", "a b", ""])("refuses to deploy “%s”", async (revision) => {
      expect((await faultOf("POST", "/v1/websites/s1/deployments", { revision })).code).toBe("api.bad-input");
    });
  });

  test("never gets the id of one that was deleted", async () => {
    await newWebsite("c1", "a.example");
    await ask("DELETE", "/v1/websites/s1");
    expect((await newWebsite("c1", "a.example")).id).toBe("s2");
  });

  test("whose domain is taken is not made", async () => {
    await newWebsite("c1", "a.example");
    expect(await faultOf("POST", "/v1/websites", { cluster: "c1", domain: "a.example" })).toMatchObject({
      status: 409,
      code: "domain.taken",
    });
    expect((await ask("GET", "/v1/websites")).body).toHaveLength(1);
  });

  test.each([
    { what: "a cluster that is not there", input: { cluster: "c9", domain: "b.example" }, code: "cluster.unknown" },
    { what: "a cluster of another form", input: { cluster: "c1; drop table", domain: "b.example" }, code: "api.bad-input" },
    { what: "a domain with a line break", input: { cluster: "c1", domain: "b.example\nc1 c2" }, code: "api.bad-input" },
    { what: "a domain with a blank", input: { cluster: "c1", domain: "b.example c2" }, code: "api.bad-input" },
    { what: "a branch that Git refuses", input: { cluster: "c1", domain: "b.example", branch: "a..b" }, code: "api.bad-input" },
    { what: "an environment with a slash", input: { cluster: "c1", domain: "b.example", environment: "../x" }, code: "api.bad-input" },
    { what: "no domain", input: { cluster: "c1" }, code: "api.bad-input" },
  ])("with $what is refused", async ({ input, code }) => {
    expect((await faultOf("POST", "/v1/websites", input)).code).toBe(code);
    expect((await ask("GET", "/v1/websites")).body).toEqual([]);
  });

  test("takes domains and gives them back; the main one stays", async () => {
    await newWebsite("c1", "a.example");
    await ask("POST", "/v1/websites/s1/domains", { name: "b.example", kind: "redirect" });
    const removed = Website.parse((await ask("DELETE", "/v1/websites/s1/domains/b.example")).body);
    expect(removed.domains.map(({ name }) => name)).toEqual(["a.example"]);
    expect((await faultOf("DELETE", "/v1/websites/s1/domains/b.example")).status).toBe(404);
    expect((await faultOf("DELETE", "/v1/websites/s1/domains/a.example")).status).toBe(409);
  });

  test("takes a key once, and loses it by its fingerprint", async () => {
    await newWebsite("c1", "a.example");
    const added = (await ask("POST", "/v1/websites/s1/keys", { publicKey: KEY })).body as { fingerprint: string };
    await ask("POST", "/v1/websites/s1/keys", { publicKey: KEY });
    expect((await ask("GET", "/v1/websites/s1/keys")).body).toHaveLength(1);
    expect((await ask("POST", "/v1/websites/s1/keys/remove", { fingerprint: added.fingerprint })).status).toBe(200);
    expect((await ask("GET", "/v1/websites/s1/keys")).body).toEqual([]);
  });

  test.each(["ssh-ed25519 AAAA", "hello", `command="rm -rf /" ${KEY}`, `${KEY}\n${KEY}`])(
    "does not take the key “%s”",
    async (publicKey) => {
      await newWebsite("c1", "a.example");
      expect((await faultOf("POST", "/v1/websites/s1/keys", { publicKey })).status).toBe(400);
      expect((await ask("GET", "/v1/websites/s1/keys")).body).toEqual([]);
    },
  );
});

const answersOf = (lines: readonly RequestLine[]): string[] =>
  lines.flatMap((line) => (line.kind === "answer" ? [`${line.server} ${line.fault?.code ?? "answers"}`] : [])).sort();

describe("a request to servers", () => {
  const heartbeats: (() => Promise<void>)[] = [];
  let carriedOut: string[] = [];

  beforeAll(async () => {
    for (const [server, role] of [
      ["c1b1", "box"],
      ["c1b2", "box"],
      ["c1v1", "cache"],
    ] as const) {
      const agent = await api.broker.joinAsServer(server, [role]);
      const view = { name: server, labels: new Set([role, "c1"]), facts: { "memory.total": server === "c1b2" ? 8 * 2 ** 30 : 2 ** 30 } };
      agent.allowBy(async () => true);
      agent.selectBy((target) => matches(target, { ...view, ask: async ({ args }) => args[0] === "varnish" && role === "cache" }));
      agent.answer(disk, async ({ path }) => {
        carriedOut.push(server);
        return { path, totalBytes: 100, freeBytes: 50, usedPercent: server === "c1b1" ? 90 : 10 };
      });
      heartbeats.push(() => {
        const at = timestamp();
        const reached = { count: 1, generation: 1, targetGeneration: 1, roles: [role], faults: [], releases: {} };
        return agent.putStatus({ server, at, startedAt: at, ...reached, facts: view.facts });
      });
    }
  });
  beforeEach(async () => {
    carriedOut = [];
    await newCluster(2);
    for (const beat of heartbeats) await beat();
    await until("the heartbeats", async () => (api.fabric.registry().size === heartbeats.length ? true : null), { timeoutMs: 5_000 });
  });

  test("is answered line by line: who is asked, each answer, what all come to", async () => {
    const lines = await request({ action: "server.disk", target: "box and c1", input: { path: "/srv" } });
    expect(lines.map(({ kind }) => kind)).toEqual(["asked", "answer", "answer", "summary"]);
    expect(lines[0]).toMatchObject({ servers: ["c1b1", "c1b2"] });
    expect(lines.at(-1)).toMatchObject({ answered: 2, failed: [], sums: { usedPercent: { kind: "range", least: 10, greatest: 90 } } });
    expect(carriedOut.sort()).toEqual(["c1b1", "c1b2"]);
  });

  test("names the servers that should be there and are not, among those that are", async () => {
    const lines = await request({ action: "server.disk", target: "c1", timeoutMs: 1_000 });
    expect(answersOf(lines)).toEqual(["c1b1 answers", "c1b2 answers", "c1s fabric.no-server", "c1v1 answers", "c1v2 fabric.no-server"]);
    expect(lines.at(-1)).toMatchObject({ answered: 3, failed: ["c1s", "c1v2"] });
  });

  test("by broadcast is decided by the servers themselves, from their own facts and live answers", async () => {
    const byFact = await request({ action: "server.disk", target: "memory.total>4G and c1b*", broadcast: true, timeoutMs: 1_000 });
    expect(answersOf(byFact).filter((line) => line.endsWith("answers"))).toEqual(["c1b2 answers"]);
    const live = await request({ action: "server.disk", target: "service('varnish').active", timeoutMs: 1_000 });
    expect(answersOf(live).filter((line) => line.endsWith("answers"))).toEqual(["c1v1 answers"]);
    expect(carriedOut).toEqual(["c1b2", "c1v1"]);
  });

  test("shows only the answers that are wished for, and asks a sample", async () => {
    const full = await request({ action: "server.disk", target: "box", where: "usedPercent>80" });
    expect(answersOf(full)).toEqual(["c1b1 answers"]);
    const one = await request({ action: "server.disk", target: "box", sample: 1 });
    expect(answersOf(one)).toHaveLength(1);
  });

  test.each([
    { what: "an unknown action", input: { action: "server.reboot" }, code: "action.unknown" },
    { what: "an action that is control's own", input: { action: "release.switch" }, code: "action.unknown" },
    { what: "a wrong input", input: { action: "server.disk", input: { path: "relative" } }, code: "action.bad-input" },
    { what: "a broken target", input: { action: "server.ping", target: "box and" }, code: "target.invalid" },
    { what: "a misspelt name", input: { action: "server.ping", target: "bxo" }, code: "target.unknown" },
    { what: "a misspelt fact", input: { action: "server.ping", target: "memry.total>1" }, code: "target.unknown" },
    { what: "an unknown question", input: { action: "server.ping", target: "servce(x).active" }, code: "target.unknown" },
    { what: "an unknown part of an answer", input: { action: "server.ping", target: "service(x).activ" }, code: "target.unknown" },
    { what: "a target that means nobody", input: { action: "server.ping", target: "box and cache" }, code: "target.empty" },
  ])("with $what is refused before anybody is asked", async ({ input, code }) => {
    expect((await faultOf("POST", "/v1/requests", input)).code).toBe(code);
    expect(carriedOut).toEqual([]);
  });

  test("that is cancelled while it goes on asks nobody else", async () => {
    const response = await api.app.request("/v1/requests", {
      method: "POST",
      headers: { authorization: `Bearer ${TOKEN}` },
      body: JSON.stringify({ action: "server.disk", target: "box", limits: { batch: { size: 1, pauseMs: 60_000 } } }),
    });
    const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader();
    let text = "";
    while (!text.includes('"answer"')) text += (await reader?.read())?.value ?? "";
    const { request: id } = JSON.parse(text.split("\n")[0] ?? "") as { request: string };
    expect((await ask("DELETE", `/v1/requests/${id}`)).status).toBe(200);
    for (let part = await reader?.read(); part?.done === false; part = await reader?.read()) text += part.value;
    expect(JSON.parse(text.trimEnd().split("\n").at(-1) ?? "")).toMatchObject({ kind: "summary", answered: 1, notAsked: ["c1b2"] });
    expect(carriedOut).toEqual(["c1b1"]);
    expect((await faultOf("DELETE", `/v1/requests/${id}`)).code).toBe("request.unknown");
  });

  test("is in the audit before anybody is asked, with its end, and also when it was refused; nothing there can be changed", async () => {
    await request({ action: "server.disk", target: "box", input: { path: "/srv" } });
    await faultOf("POST", "/v1/requests", { action: "server.reboot", target: "all" });
    const entries = ((await ask("GET", "/v1/audit")).body as AuditEntry[]).filter(({ action }) => action.startsWith("server."));
    expect(entries).toMatchObject([
      { kind: "asked", action: "server.disk", target: "box", details: { input: { path: "/srv" }, servers: ["c1b1", "c1b2"] } },
      { kind: "ended", details: { answered: 2, failed: [], notAsked: [] } },
      { kind: "refused", action: "server.reboot", details: { fault: expect.stringContaining("no action") } },
    ]);
    expect(entries[0]?.request).toBe(entries[1]?.request);
    await expect(api.store.deleteFrom("audit").execute()).rejects.toThrow("only ever added to");
    await expect(api.store.updateTable("audit").set({ caller: "nobody" }).execute()).rejects.toThrow("only ever added to");
  });

  test("finds servers with what was last heard of them", async () => {
    const { body } = await ask("GET", `/v1/servers/found?target=${encodeURIComponent("memory.total>4G")}`);
    expect(body).toMatchObject([{ name: "c1b2", facts: { "memory.total": 8 * 2 ** 30 }, heardAt: expect.any(String) }]);
  });
});
