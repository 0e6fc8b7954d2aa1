import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { api as routes } from "#contract/api/routes.ts";
import type { AuditEntry } from "#contract/audit.ts";
import { TestApi } from "#harness/api.ts";

let api: TestApi;
beforeAll(async () => {
  api = await TestApi.start();
});
afterAll(() => api.stop());
beforeEach(() => api.freshStart());

async function entries(): Promise<AuditEntry[]> {
  return (await api.ask("GET", "/v1/audit?last=1000")).body as AuditEntry[];
}

/** An example of each parameter, of things that are not there. */
const PARAMS: Record<string, string> = {
  website: "s77",
  cluster: "c77",
  server: "c77b1",
  person: "nobody",
  rule: "77",
  governor: "nothing",
  domain: "www.example.org",
  deployment: "77",
  job: "3fa85f64-5717-4562-b3fc-2c963f66afa6",
  request: "3fa85f64-5717-4562-b3fc-2c963f66afa6",
};
const changing = Object.entries(routes).filter(([, { method }]) => method !== "GET");

describe("the audit", () => {
  test.each(changing)("has what comes of %s, whether it is carried out, fails or is refused", async (_, { method, path }) => {
    const concrete = path.replaceAll(/\{(\w+)\}/g, (_, name: string) => PARAMS[name] ?? "1");
    await api.ask(method, concrete, method === "DELETE" ? undefined : {});
    const [first] = await entries();
    expect(first).toMatchObject({ caller: "operator" });
    const last = (await entries()).at(-1);
    expect(last?.kind === "refused" || last?.kind === "ended").toBe(true);
    expect(last?.request).toBe(first?.request);
  });

  test("has what is asked for before it is done, then how it ended", async () => {
    await api.newCluster(1);
    await api.ask("POST", "/v1/websites", { cluster: "c1", domain: "www.example.org" });
    await api.ask("DELETE", "/v1/websites/s9");
    const found = await entries();
    expect(found).toMatchObject([
      { kind: "asked", action: "cluster.create", target: "yard", details: { input: { boxes: 1 } } },
      { kind: "ended", action: "cluster.create" },
      { kind: "asked", action: "website.create", details: { input: { cluster: "c1", domain: "www.example.org" } } },
      { kind: "ended", details: { output: { id: "s1" } } },
      { kind: "asked", action: "website.delete", target: "s9" },
      { kind: "ended", details: { fault: expect.stringContaining("s9") } },
    ]);
    expect(found[2]?.request).toBe(found[3]?.request);
  });

  test("never has a token, and has who was refused what", async () => {
    await api.ask("POST", "/v1/policy", { role: "caches", actions: ["service.*"], target: "all" });
    const { token } = (await api.ask("POST", "/v1/people", { name: "anna", roles: ["caches"] })).body as { token: string };
    await api.faultOf("POST", "/v1/websites/s1/rollback", {}, token);
    await api.faultOf("POST", "/v1/governors", { name: "php", limit: 0 });
    const found = await entries();
    expect(JSON.stringify(found)).not.toContain(token);
    expect(found.slice(2)).toMatchObject([
      { kind: "asked", action: "person.add", details: { input: { name: "anna" } } },
      { kind: "ended", details: { output: { person: { name: "anna" }, token: "***" } } },
      { kind: "refused", caller: "anna", action: "rollback", target: "s1" },
      { kind: "refused", caller: "operator", action: "governor.put", details: { fault: expect.stringContaining("limit") } },
    ]);
  });

  test("is written first: what cannot be written down is not done", async () => {
    await api.store.schema.alterTable("audit").renameTo("audit_away").execute();
    expect((await api.ask("POST", "/v1/clusters", { boxes: 1 })).status).toBe(500);
    expect((await api.ask("GET", "/v1/clusters")).body).toEqual([]);
  });
});
