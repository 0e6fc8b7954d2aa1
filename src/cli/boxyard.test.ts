import { symlink } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeEach, describe, expect, test } from "vitest";
import { Fault } from "#base/fault.ts";
import { BOXYARD, TestCli } from "#harness/cli.ts";
import { answered, deployment, KEY, SERVERS, STATUS, WEBSITE } from "#harness/shown.ts";

const cli = await TestCli.start();
afterAll(() => cli.stop());
beforeEach(() => cli.forget());

test("the pages about actions are what their declarations say", async () => {
  const { stdout } = await cli.run(["actions", "--markdown"]);
  await expect(`${stdout}\n`).toMatchFileSnapshot("../../docs/actions.md");
});

describe("the command line", () => {
  test("works through a link, from any directory, in the yard that BOXYARD_YARD names", async () => {
    await symlink(BOXYARD, join(cli.scratch, "by"));
    await cli.control.writeYard("try");
    cli.control.script = { status: () => ({ ...STATUS, yard: "try" }) };
    const result = await cli.start(["status", "--json"], { bin: join(cli.scratch, "by"), env: { BOXYARD_YARD: "try" } });
    expect(JSON.parse(result.stdout)).toMatchObject({ yard: "try", edge: { address: "10.99.0.3" }, servers: { total: 9, ready: 9 } });
    expect(result.stderr).toBe("");
  });

  test.each([
    ["an unknown command", ["websites"], "unknown command 'websites'"],
    ["an unknown option", ["status", "--jsn"], "Did you mean --json"],
    ["a missing argument", ["website", "show"], "missing required argument 'website'"],
    ["an argument too many", ["website", "show", "s1", "s2"], "too many arguments"],
    ["a missing option", ["website", "create", "--domain", "a.example.org"], "--cluster <cluster>"],
    ["a number that is none", ["cluster", "create", "--boxes", "two"], "whole number"],
    ["boxes that are no number", ["cluster", "scale", "c1", "many"], "no number of boxes"],
    ["no boxes at all", ["cluster", "scale", "c1"], "how many boxes"],
    ["no box left", ["cluster", "scale", "c1", "--boxes", "0"], "at least one box"],
    ["a group without a command", ["cluster"], "Usage: boxyard cluster"],
    ["a malformed domain", ["domain", "add", "s1", "not_a domain"], "for example www.example.org"],
    ["a domain that would break configuration", ["domain", "add", "s1", "a.b\n}\nbackend x"], "a domain is lower-case labels"],
    ["a domain that is a path", ["domain", "remove", "s1", "../keys"], "a domain is lower-case labels"],
    ["a website that is none", ["website", "show", "../status"], "a website's id is s and a number"],
    ["a branch that Git refuses", ["website", "create", "--cluster", "c1", "--domain", "a.example.org", "--branch", "../x"], "branch"],
    ["two kinds of domain", ["domain", "add", "s1", "a.example.org", "--redirect", "--kind", "alias"], "cannot be used with"],
    ["a deployment that is no number", ["deployment", "show", "last"], "no deployment's number"],
    ["a yard's name with a path", ["--yard", "../main", "status"], "no name for a yard"],
  ])("with %s ends with 2 and says so, and asks control nothing", async (_what, args, words) => {
    const result = await cli.run(args);
    expect(result.stderr).toContain(words);
    expect([result.exitCode, result.stdout, cli.control.asked]).toEqual([2, "", []]);
  });

  test.each([
    ["0 when it is done", ["status"], 0],
    ["1 when control says why not", ["website", "show", "s9"], 1],
    ["2 when it is not understood", ["websites"], 2],
    ["0 after help", ["--help"], 0],
  ])(
    "ends as a process with %s",
    async (_what, args, exitCode) => {
      cli.control.script = {
        status: () => STATUS,
        showWebsite: () => {
          throw new Fault("website.unknown", "there is no website s9");
        },
      };
      const ended = await cli.start(args);
      expect([ended.exitCode, ended.stdout === "", ended.stderr === ""]).toEqual([exitCode, exitCode !== 0, exitCode === 0]);
    },
    90_000,
  );

  test("help is complete: every command with its options and examples", async () => {
    const commands = [
      "",
      "status",
      "ping",
      "ca",
      "server list",
      "logs",
      "find",
      "facts",
      "actions",
      "events",
      "audit",
      "do",
      "do service.restart",
    ].concat(
      ["create", "list", "show", "scale", "delete"].map((verb) => `cluster ${verb}`),
      ["create", "list", "show", "delete"].map((verb) => `website ${verb}`),
      ["domain add", "domain remove", "key add", "key list", "key remove"],
      ["limits show", "limits set", "packages show", "packages set"],
      ["deploy", "rollback", "deployment list", "deployment show", "deployment watch", "deployment cancel"],
    );
    const helps: string[] = [];
    for (const command of commands) {
      const { stdout, exitCode } = await cli.run([...command.split(" ").filter(Boolean), "--help"], { env: { COLUMNS: "120" } });
      expect(exitCode, command).toBe(0);
      helps.push(`$ boxyard ${command} --help\n${stdout}`);
    }
    await expect(`${helps.join("\n\n")}\n`).toMatchFileSnapshot("golden/help.txt");
  });
});

describe("a fault", () => {
  test("of control is told on standard error with the next step, ends with 1, and standard output stays empty, also with --json", async () => {
    cli.control.script = {
      showWebsite: () => {
        throw new Fault("website.unknown", "there is no website s9", { next: "see which there are: boxyard website list" });
      },
    };
    const result = await cli.run(["website", "show", "s9", "--json"]);
    expect([result.exitCode, result.stdout]).toEqual([1, ""]);
    expect(result.stderr).toBe("there is no website s9\n→ see which there are: boxyard website list");
  });

  test("is told without what could steer a terminal", async () => {
    cli.control.script = {
      status: () => {
        throw new Fault("x.y", "bad \u001b[2Jname");
      },
    };
    expect((await cli.run(["status"])).stderr).toBe("bad �[2Jname");
  });

  test("for a yard that is not there says how to make it", async () => {
    const result = await cli.run(["--yard", "nowhere", "status"]);
    expect([result.exitCode, result.stderr]).toEqual([2, expect.stringContaining("bin/up --yard nowhere")]);
  });

  test("for a control that is off says where it should be", async () => {
    await cli.control.writeYard("off", { urls: ["https://127.0.0.1:1"] });
    const result = await cli.run(["--yard", "off", "status"]);
    expect([result.exitCode, result.stderr]).toEqual([2, expect.stringMatching(/yard off does not answer at https:\/\/127\.0\.0\.1:1/)]);
    expect((await cli.run(["--yard", "off", "website", "show", "s1"])).exitCode).toBe(2);
    expect((await cli.run(["--yard", "off", "server", "list"])).exitCode).toBe(1);
  });
});

describe("whether all is well", () => {
  const troubles = ["db1 is unreachable: it is off; control starts it"];

  test("is what status and website show exit with", async () => {
    cli.control.script = { status: () => STATUS, showWebsite: () => WEBSITE };
    for (const args of [["status"], ["website", "show", "s1"]]) expect((await cli.run(args)).exitCode).toBe(0);
    cli.control.script = { status: () => ({ ...STATUS, troubles }), showWebsite: () => ({ ...WEBSITE, troubles }) };
    for (const args of [["status"], ["website", "show", "s1"]]) {
      const result = await cli.run(args);
      expect([result.exitCode, result.stdout.includes("db1 is unreachable"), result.stderr]).toEqual([1, true, ""]);
      expect((await cli.run([...args, "--json"])).exitCode).toBe(1);
    }
  });

  test("is not said by a control that refuses the token", async () => {
    cli.control.script = {
      status: () => {
        throw new Fault("api.unauthorized", "the token is missing or wrong");
      },
    };
    expect((await cli.run(["status"])).exitCode).toBe(2);
  });
});

describe("JSON", () => {
  test("is what control gave, with nothing beside it", async () => {
    cli.control.script = {
      showWebsite: () => WEBSITE,
      listServers: () => SERVERS,
      listDeployments: () => [deployment(1, "live"), deployment(2, "failed")],
      showDeployment: () => deployment(2, "failed"),
      listKeys: () => [KEY],
      request: () => answered({ server: "c1b1", durationMs: 1.5, output: {} }),
    };
    const json = async (...args: string[]): Promise<unknown> => JSON.parse((await cli.run([...args, "--json"])).stdout);
    expect(await json("website", "show", "s1")).toEqual(WEBSITE);
    expect(await json("server", "list")).toEqual(SERVERS);
    expect(await json("deployment", "list", "s1")).toEqual([deployment(1, "live"), deployment(2, "failed")]);
    expect(await json("deployment", "show", "2")).toEqual(deployment(2, "failed"));
    expect(await json("key", "list", "s1")).toEqual([KEY]);
    expect(await json("ping", "c1")).toEqual([{ server: "c1b1", durationMs: 1.5, error: null }]);
  });

  test("is also there when a server does not answer a ping, which ends with 1", async () => {
    const fault = { code: "fabric.timed-out", message: "no answer", next: null };
    cli.control.script = { request: () => answered({ server: "c1b1", durationMs: 500, fault }) };
    const result = await cli.run(["ping", "c1b1", "--timeout", "0.5", "--json"]);
    expect([result.exitCode, JSON.parse(result.stdout)[0].error]).toEqual([1, "no answer"]);
    expect(cli.control.asked[0]?.input).toMatchObject({ action: "server.ping", target: "c1b1", timeoutMs: 500 });
  });
});

test("tables are aligned, without colour where there is no terminal", async () => {
  cli.control.script = { listServers: () => SERVERS };
  expect((await cli.run(["server", "list"])).stdout.split("\n")).toEqual([
    "NAME  ROLES  CLUSTER  ADDRESS     STATE       GENERATION",
    "c1b1  box    c1       10.99.0.10  ready       4",
    "c1b2  box    c1       10.99.0.11  converging  3 of 4      at generation 3 of 4",
  ]);
});
