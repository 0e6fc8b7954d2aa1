import { afterAll, beforeEach, describe, expect, test } from "vitest";
import type { DeploymentState } from "#contract/deployment.ts";
import { TestCli } from "#harness/cli.ts";
import { AT, COMMIT, deployment } from "#harness/shown.ts";

const cli = await TestCli.start();
afterAll(() => cli.stop());
beforeEach(() => cli.forget());

describe("deployment watch", () => {
  const event = (state: DeploymentState, line: string) =>
    ({ kind: "deployment", at: AT, deployment: 7, website: "s1", push: "p", commit: COMMIT, state, server: null, line }) as const;

  test.each([
    ["live", 0],
    ["rolled-back", 1],
    ["failed", 1],
    ["superseded", 1],
  ] as const)("tells the lines as they come and ends with %s as %i", async (state, exitCode) => {
    const story = [
      event("received", "received"),
      event("staging", "staging on 3 servers"),
      event("staging", "warning: c1b1\u001b[2J is slow"),
      event("staging", "c1b1 has staged it"),
      event(state, `ended ${state}`),
    ];
    const end = state === "live" ? "success" : "error";
    const said = ["received", "staging on 3 servers", "warning: c1b1�[2J is slow", "  c1b1 has staged it", `${end}: ended ${state}`];
    const told = said.map((line) => `   0.0 s  ${line}`);
    let looks = 0;
    cli.control.script = {
      listDeployments: () => [deployment(7, "received")],
      deploymentEvents: ({ input: { after } }) => ({ events: story.slice(after, after + 1), isFinal: ++looks > story.length }),
      showDeployment: () => deployment(7, state),
    };
    const result = await cli.run(["deployment", "watch", "s1", "--json"]);
    expect([result.exitCode, JSON.parse(result.stdout)]).toEqual([exitCode, deployment(7, state)]);
    expect(result.stderr.split("\n")).toEqual(told);
  });

  test("ends before the deployment does when its time is over, and says how to go on", async () => {
    cli.control.script = {
      rollback: () => deployment(7, "received"),
      deploymentEvents: () => ({ events: [], isFinal: false }),
    };
    const result = await cli.run(["rollback", "s1", "--timeout", "0.1"]);
    expect([result.exitCode, result.stderr]).toEqual([
      1,
      "deployment 7 has not ended after 0.1 s; it goes on\n→ boxyard deployment watch 7",
    ]);
  });

  test("of a website that was never pushed to says so", async () => {
    cli.control.script = { listDeployments: () => [] };
    expect((await cli.run(["deployment", "watch", "s1"])).stderr).toMatch(/s1 has no deployment yet\n→ /);
  });
});
