import { describe, expect, test } from "vitest";
import { Visitor } from "#harness/visitor.ts";
import { bin, boxyard, boxyardJson, lastDeployment, listServers, showWebsite, status, TEST_YARD } from "#harness/yard.ts";

const RFC3339_MICROS = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/;

describe("bin/up", () => {
  test("leaves a yard whose servers are all ready, each at the generation that it should have", async () => {
    const servers = await listServers();
    expect(servers.map((server) => server.name).sort()).toEqual([
      "c1b1",
      "c1b2",
      "c1s",
      "c1v1",
      "c1v2",
      "control1",
      "db1",
      "edge1",
      "git1",
    ]);
    for (const server of servers) {
      expect(server, server.name).toMatchObject({ state: "ready", reason: null });
      expect(server.generation, server.name).toBe(server.targetGeneration);
    }
    const { servers: counts, troubles } = await status();
    expect({ counts, troubles }).toEqual({ counts: { total: 9, ready: 9 }, troubles: [] });
  });

  test("has pushed the example site, and the edge serves it over HTTPS with a certificate of the yard", async () => {
    const website = await showWebsite("s1");
    const page = await new Visitor(website.domains[0]?.name ?? "").get("/");
    expect(page.status).toBe(200);
    expect(page.headers["x-boxyard-release"]).toBe(website.release);
  });

  test("changes nothing when it is run again", async () => {
    const before = { website: await showWebsite("s1"), servers: await listServers(), deployment: await lastDeployment("s1") };
    const again = await bin("up", ["--yard", TEST_YARD, "--json"]);
    expect(again.exitCode, again.stderr).toBe(0);
    expect({ website: await showWebsite("s1"), servers: await listServers(), deployment: await lastDeployment("s1") }).toEqual(before);
  });
});

describe("the JSON that others script against", () => {
  test("website show has the release and each server's", async () => {
    const website = await showWebsite("s1");
    expect(website).toMatchObject({ id: "s1", cluster: "c1", environment: "production", branch: "main" });
    expect(website.gitUrl).toMatch(/^ssh:\/\/s1@[\d.]+\/s1$/);
    expect(website.release).toMatch(/^[0-9a-f]{40}$/);
    expect(website.servers.map((server) => [server.name, server.role, server.release]).sort()).toEqual([
      ["c1b1", "box", website.release],
      ["c1b2", "box", website.release],
      ["c1s", "shell", website.release],
    ]);
  });

  test("deployment show has the moments of acceptance and of each switch in microseconds", async () => {
    const { id } = await lastDeployment("s1");
    const deployment = await boxyardJson<Awaited<ReturnType<typeof lastDeployment>>>("deployment", "show", String(id));
    expect(deployment).toMatchObject({ id, website: "s1", state: "live", reason: null });
    expect(deployment.acceptedAt).toMatch(RFC3339_MICROS);
    expect(deployment.finishedAt).toMatch(RFC3339_MICROS);
    expect(deployment.servers.map((server) => server.name).sort()).toEqual(["c1b1", "c1b2", "c1s"]);
    for (const server of deployment.servers) {
      expect(server.stagedAt).toMatch(RFC3339_MICROS);
      expect(server.switchedAt).toMatch(RFC3339_MICROS);
      expect(server.error).toBeNull();
    }
  });

  test("ping hears every server", async () => {
    const replies = await boxyardJson<{ server: string; error: string | null }[]>("ping");
    expect(replies.filter((reply) => reply.error !== null)).toEqual([]);
    expect(replies).toHaveLength(9);
  });
});

describe("the CLI", () => {
  test("teaches: help names every command, and each has its own", async () => {
    const help = await boxyard("--help");
    for (const noun of ["status", "server", "ping", "cluster", "website", "domain", "key", "deployment", "logs"])
      expect(help.stdout).toContain(noun);
    expect((await boxyard("website", "create", "--help")).stdout).toContain("--domain");
  });

  test("ends with an error and the next step when a website is not there", async () => {
    const result = await boxyard("website", "show", "s999");
    expect(result.exitCode).toBe(1);
    expect(result.stderr).toContain("s999");
    expect(result.stderr).toContain("→");
    expect(result.stdout).toBe("");
  });

  test("shows the website's access log", async () => {
    await new Visitor(`www.${TEST_YARD}.test`).get(`/?log-me-${Date.now()}`);
    const result = await boxyard("logs", "s1");
    expect(result.exitCode, result.stderr).toBe(0);
    expect(result.stdout).toContain("log-me-");
  });
});
