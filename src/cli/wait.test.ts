import { execa } from "execa";
import { afterAll, beforeEach, describe, expect, test } from "vitest";
import { Fault } from "#base/fault.ts";
import type { Route } from "#contract/api/route.ts";
import type { Server } from "#contract/api/servers.ts";
import { BOXYARD, TestCli } from "#harness/cli.ts";
import { faultOf } from "#harness/scripted-control.ts";
import { SEED } from "#harness/seed.ts";
import { CLUSTER, SERVERS, WEBSITE } from "#harness/shown.ts";
import { VirtualClock } from "#harness/virtual-clock.ts";
import type { Client } from "./client.ts";
import { askPatiently, clusterReady, readPatiently } from "./wait.ts";

const cli = await TestCli.start();
afterAll(() => cli.stop());
beforeEach(() => cli.forget());

describe("work that takes time", () => {
  test("website create waits until all is ready, tells what it waits for, and gives the website with its id", async () => {
    let looks = 0;
    cli.control.script = {
      createWebsite: () => ({ ...WEBSITE, isReady: false }),
      showWebsite: () => ({ ...WEBSITE, isReady: ++looks > 1 }),
      listServers: () => [...SERVERS, { ...SERVERS[0], name: "c2b1", cluster: "c2", state: "failed", reason: "not ours" } as Server],
    };
    const result = await cli.run(["website", "create", "--cluster", "c1", "--domain", "WWW.Example.org", "--json"]);
    expect(JSON.parse(result.stdout)).toEqual(WEBSITE);
    expect(result.stderr).toBe("waiting for c1b2 (converging)");
    expect(cli.control.asked[0]?.input).toEqual({ cluster: "c1", domain: "www.example.org", environment: "production", branch: "main" });
  });

  test("with --no-wait returns at once", async () => {
    cli.control.script = { createCluster: () => ({ ...CLUSTER, isReady: false }) };
    const result = await cli.run(["cluster", "create", "--boxes", "3", "--no-wait", "--json"]);
    expect([result.exitCode, JSON.parse(result.stdout).id, cli.routesAsked()]).toEqual([0, "c1", ["createCluster"]]);
    expect(cli.control.asked[0]?.input).toEqual({ boxes: 3, minBoxes: null });
  });

  test("ends at its time limit with 1 and names what is missing and why", async () => {
    const failed: Server = { ...SERVERS[1], state: "failed", reason: "apache: syntax error\nat line 3" } as Server;
    cli.control.script = {
      scaleCluster: () => CLUSTER,
      showCluster: () => ({ ...CLUSTER, isReady: false }),
      listServers: () => [failed],
    };
    const result = await cli.run(["cluster", "scale", "c1", "--boxes", "3", "--timeout", "0.5"]);
    expect([result.exitCode, result.stdout]).toEqual([1, ""]);
    expect(result.stderr).toContain("cluster c1 is not ready after 0.5 s: still waiting for c1b2 (failed: apache: syntax error)");
  });

  test("cluster delete waits until its servers are gone and the backends have forgotten them", async () => {
    let looks = 0;
    const edge: Server = { ...SERVERS[0], name: "edge1", roles: ["edge"], cluster: null } as Server;
    cli.control.script = {
      showCluster: () => CLUSTER,
      deleteCluster: () => ({ id: "c1" }),
      listServers: () => [[...SERVERS, edge], [{ ...edge, state: "converging" as const }], [edge]][Math.min(looks++, 2)] ?? [],
    };
    const result = await cli.run(["cluster", "delete", "c1", "--json"]);
    expect(JSON.parse(result.stdout)).toEqual({ id: "c1" });
    expect(result.stderr).toBe("waiting for c1b1 (ready), c1b2 (converging)\nwaiting for edge1 (converging)");
  });

  test("website delete asks at a terminal, and deletes nothing unless the id is typed; scripts are not asked", async () => {
    cli.control.script = { showWebsite: () => WEBSITE, deleteWebsite: () => ({ id: "s1" }), listServers: () => [] };
    const typed = await execa("script", ["-qec", `${BOXYARD} website delete s1`, "/dev/null"], {
      input: "s2\n",
      reject: false,
      env: { BOXYARD_YARDS: cli.control.yards },
    });
    expect([typed.exitCode, cli.routesAsked()]).toEqual([1, ["showWebsite"]]);
    expect(typed.stdout).toContain("nothing was deleted");
    expect((await cli.run(["website", "delete", "s1"])).exitCode).toBe(0);
    expect(cli.routesAsked()).toContain("deleteWebsite");
  });
});

describe("in its own time, a command that waits", () => {
  const away = (): never => {
    throw new Fault("control.unreachable", "control does not answer");
  };
  let clock: VirtualClock;
  let lines: string[];
  const progress = (line: string): void => void lines.push(line);
  beforeEach(() => {
    clock = new VirtualClock(SEED);
    lines = [];
  });

  test("ends after five minutes, having told each thing that it waits for once", async () => {
    const servers = (): Server[] => [{ ...SERVERS[1], state: clock.elapsedMs() < 60_000 ? "starting" : "converging" } as Server];
    const call = async ({ path }: Route): Promise<unknown> => (path.includes("cluster") ? { ...CLUSTER, isReady: false } : servers());
    const client = { yard: "main", call, stream: away } as unknown as Client;
    const fault = await clock.during(() => faultOf(clusterReady(client, "c1", { progress, clock })));
    expect(fault.message).toBe("cluster c1 is not ready after 300 s: still waiting for c1b2 (converging)");
    expect(lines).toEqual(["waiting for c1b2 (starting)", "waiting for c1b2 (converging)"]);
    expect(clock.elapsedMs()).toBeLessThan(301_000);
  });

  test("asks again while control is away, says so once, and ends with control's own fault when its time is over", async () => {
    const options = { progress, timeoutMs: 60_000, clock };
    const back = await clock.during(() => askPatiently(options, async () => (clock.elapsedMs() < 50_000 ? away() : "back")));
    expect([back, lines]).toEqual(["back", ["control does not answer, asking again"]]);
    expect((await clock.during(() => faultOf(askPatiently(options, async () => away())))).code).toBe("control.unreachable");
    expect(clock.elapsedMs()).toBeGreaterThan(110_000);
  });

  test("reads on for as long as control is away, but not what has never answered", async () => {
    let read = 0;
    const open = async function* (): AsyncIterable<number> {
      if (read > 0 && clock.elapsedMs() < 600_000) away();
      yield ++read;
      if (read < 3) away();
    };
    const collect = async (from: () => AsyncIterable<number>): Promise<number[]> =>
      Array.fromAsync(readPatiently({ progress, clock }, from));
    expect(await clock.during(() => collect(open))).toEqual([1, 2, 3]);
    expect(lines).toEqual(["control does not answer, asking again", "control does not answer, asking again"]);
    // biome-ignore lint/correctness/useYield: it breaks off before the first line.
    const never = async function* (): AsyncIterable<number> {
      away();
    };
    expect((await clock.during(() => faultOf(collect(never)))).code).toBe("control.unreachable");
  });
});
