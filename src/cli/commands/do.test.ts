import { afterAll, beforeEach, describe, expect, test } from "vitest";
import { TestCli } from "#harness/cli.ts";
import { answered } from "#harness/shown.ts";

const cli = await TestCli.start();
afterAll(() => cli.stop());
beforeEach(() => cli.forget());

describe("a request to servers", () => {
  const disks = answered(
    { server: "c1b1", durationMs: 1, output: { path: "/", usedPercent: 90 } },
    { server: "c1b12", durationMs: 2.25, output: { path: "/", usedPercent: 10 } },
    { server: "c1b2", durationMs: 3, fault: { code: "fabric.silent", message: "c1b2 is silent since 08:00", next: "look at it" } },
  );

  test("shows each answer in a line, then what all come to, and ends with 1 when one failed", async () => {
    cli.control.script = { request: () => disks };
    const { exitCode, stdout } = await cli.run(["do", "server.disk", "--path", "/", "--target", "box and c1"]);
    expect(stdout.split("\n")).toEqual([
      "c1b1       1.0 ms  path=/  usedPercent=90",
      "c1b12      2.3 ms  path=/  usedPercent=10",
      "c1b2       3.0 ms  c1b2 is silent since 08:00 → look at it",
      "",
      "2 of 3 servers in 12 ms",
      "failed: c1b2",
      "usedPercent: 10 – 90, median 20",
    ]);
    expect(exitCode).toBe(1);
    expect(cli.control.asked[0]?.input).toMatchObject({ action: "server.disk", target: "box and c1", input: { path: "/" } });
  });

  test("sorts by a field, and gives names alone to feed another command", async () => {
    cli.control.script = { request: () => disks };
    const sorted = await cli.run(["do", "server.disk", "--sort", "usedPercent"]);
    expect(sorted.stdout.match(/^c1b\d+/gm)).toEqual(["c1b12", "c1b1", "c1b2"]);
    expect((await cli.run(["do", "server.disk", "--names"])).stdout).toBe("c1b1\nc1b12");
  });

  test("carries its limits", async () => {
    cli.control.script = { request: () => answered({ server: "c1b1", durationMs: 1, output: {} }) };
    const limits = ["--at-once", "5", "--batch", "10", "--pause", "2", "--stop-after", "5%", "--deadline", "60", "--timeout", "1.5"];
    await cli.run(["do", "service.restart", "--service", "varnish", "--target", "cache", "--broadcast", "--sample", "3", ...limits]);
    expect(cli.control.asked[0]?.input).toMatchObject({
      action: "service.restart",
      input: { service: "varnish" },
      broadcast: true,
      sample: 3,
      timeoutMs: 1_500,
      limits: { atOnce: 5, batch: { size: 10, pauseMs: 2_000 }, stopAfter: { percent: 5 }, deadlineMs: 60_000 },
    });
  });

  test.each([
    { args: ["do", "service.restart", "--target", "all"], says: "--service" },
    { args: ["do", "service.restart", "--service", "varnish"], says: "--target" },
    { args: ["do", "service.restart", "--service", "sshd; reboot"], says: "Allowed choices" },
    { args: ["do", "server.disk", "--stop-after", "many"], says: "3 or 5%" },
    { args: ["do", "release.switch"], says: "unknown command" },
  ])("with a wrong command line asks nobody: $args", async ({ args, says }) => {
    const { exitCode, stderr } = await cli.run(args);
    expect([exitCode, cli.routesAsked()]).toEqual([2, []]);
    expect(stderr).toContain(says);
  });

  test("that control broke off says so, and how far it had come", async () => {
    cli.control.script = { request: () => disks.slice(0, 2) };
    const { exitCode, stderr } = await cli.run(["do", "server.disk"]);
    expect([exitCode, stderr]).toEqual([1, expect.stringContaining("control broke off after 1 of 3 answers")]);
  });

  test("can be looked up with all that can be asked for, without any yard", async () => {
    const { stdout } = await cli.run(["--yard", "nowhere", "actions", "--json"]);
    const actions = JSON.parse(stdout) as { name: string; input: unknown }[];
    expect(actions.map(({ name }) => name)).toContain("service.restart");
    expect(cli.routesAsked()).toEqual([]);
  });
});
