import { execa } from "execa";
import { afterAll, beforeEach, describe, expect, test } from "vitest";
import { BOXYARD, TestCli } from "#harness/cli.ts";

const cli = await TestCli.start();
afterAll(() => cli.stop());
beforeEach(() => cli.forget());

describe("logs", () => {
  test("show each line with its server, without what could steer a terminal, and name servers that are silent", async () => {
    cli.control.script = { readLogs: () => ({ lines: [{ server: "c1b1", line: "GET /\u001b[2J" }], cursors: {}, silent: ["c1b2"] }) };
    const result = await cli.run(["logs", "s1", "--error", "--lines", "5"]);
    expect([result.stdout, result.stderr]).toEqual(["c1b1  GET /�[2J", "c1b2 does not answer: its lines are missing"]);
    expect(cli.control.asked[0]?.input).toEqual({ kind: "error", lines: 5 });
  });

  test("--follow goes on from where the answer before ended, until the reader has enough", async () => {
    cli.control.script = {
      readLogs: ({ input: { cursors } }) => ({
        lines: [{ server: "c1b1", line: cursors === undefined ? "first" : "second" }],
        cursors: { c1b1: "42" },
        silent: [],
      }),
    };
    const result = await execa("bash", ["-c", `${BOXYARD} logs s1 --follow --json | head -2`], {
      env: { BOXYARD_YARDS: cli.control.yards },
    });
    expect(result.stdout.split("\n").map((line) => JSON.parse(line).line)).toEqual(["first", "second"]);
    expect(cli.control.asked[1]?.input).toMatchObject({ cursors: '{"c1b1":"42"}' });
  });
});
