import { afterAll, beforeEach, describe, expect, test } from "vitest";
import type { Job } from "#contract/job.ts";
import { TestCli } from "#harness/cli.ts";
import { AT } from "#harness/shown.ts";

const cli = await TestCli.start();
afterAll(() => cli.stop());
beforeEach(() => {
  cli.forget();
  cli.control.breaksAfter = Number.POSITIVE_INFINITY;
});

describe("what is followed goes on by itself when control breaks off", () => {
  const story = [1, 2, 3, 4, 5].map((number) => ({
    number,
    event: { kind: "lost", at: AT, server: "c1b1", count: 1, line: `line ${number}` } as const,
  }));

  test.each([
    ["events, from the number that was told last", 1],
    ["events of a yard with several control servers", 2],
  ])("%s", async (_what, addresses) => {
    cli.control.breaksAfter = 2;
    cli.control.script = { events: ({ input: { after = 0 } }) => story.slice(after) };
    await cli.control.writeYard("main", { urls: [cli.control.url, "https://127.0.0.1:1"].slice(0, addresses) });
    const { stdout, exitCode } = await cli.run(["events", "--follow", "--json"]);
    const numbers = stdout.split("\n").flatMap((line) => JSON.parse(line).number ?? []);
    expect([exitCode, numbers]).toEqual([0, [1, 2, 3, 4, 5]]);
    expect(cli.control.asked.map(({ input }) => (input as { after?: number }).after)).toEqual([undefined, 2, 4]);
  });

  test("a job, each thing that servers tell once", async () => {
    const job = "00000000-0000-4000-8000-000000000000";
    const common = { action: "server.scrub", caller: "operator", startedAt: AT } as const;
    const server = { server: "c1b1", at: AT, state: "done", line: "done", isSilent: false } as const;
    const shown: Job = { job, ...common, servers: [server], isOver: true };
    const told = ["begun", "half of it", "nearly all"].map(
      (line) => ({ kind: "job", at: AT, server: "c1b1", job, ...common, state: "running", line }) as const,
    );
    cli.control.breaksAfter = 2;
    cli.control.script = {
      listJobs: () => [shown],
      showJob: () => shown,
      watchJob: () => {
        if (cli.routesAsked().filter((route) => route === "watchJob").length > 1) cli.control.breaksAfter = told.length;
        return told;
      },
    };
    const { stderr, exitCode } = await cli.run(["jobs", job, "--watch"]);
    const line = (text: string): string => `09:00:00  c1b1      running: ${text}`;
    expect(stderr.split("\n")).toEqual([line("begun"), line("half of it"), "control does not answer, asking again", line("nearly all")]);
    expect(exitCode).toBe(0);
  });

  test("but a list that does not follow is told as broken off", async () => {
    cli.control.breaksAfter = 2;
    cli.control.script = { events: () => story };
    const { exitCode, stdout, stderr } = await cli.run(["events", "--json"]);
    expect([exitCode, stdout]).toEqual([1, ""]);
    expect(stderr).toMatch(/^control of yard main broke off its answer at .*\n→ ask again$/);
  });
});
