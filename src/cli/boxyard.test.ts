import { mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { execa } from "execa";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { Fault } from "#base/fault.ts";
import type { Cluster } from "#contract/api/clusters.ts";
import type { SshKey } from "#contract/api/keys.ts";
import type { Server } from "#contract/api/servers.ts";
import type { YardStatus } from "#contract/api/status.ts";
import type { Website } from "#contract/api/websites.ts";
import type { Deployment, DeploymentState } from "#contract/deployment.ts";
import type { RequestAnswer, RequestLine } from "#contract/request.ts";
import { ScriptedControl } from "#harness/scripted-control.ts";

const BIN = resolve(import.meta.dirname, "../../bin/boxyard");
const AT = "2026-11-23T09:00:00.123456Z";
const COMMIT = "4f2a".repeat(10);
const PUBLIC_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGkFZ0Q8Y5d0vA me@example.org";

let control: ScriptedControl;
let scratch: string;
beforeAll(async () => {
  control = await ScriptedControl.start();
  scratch = await mkdtemp(join(tmpdir(), "boxyard-cli-test-"));
});
afterAll(async () => {
  await control.stop();
  await rm(scratch, { recursive: true });
});
beforeEach(() => {
  control.script = {};
  control.asked.length = 0;
});

interface SpawnOptions {
  readonly input?: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly bin?: string;
}

async function boxyard(args: readonly string[], { input = "", env = {}, bin = BIN }: SpawnOptions = {}) {
  const environment = { PATH: process.env["PATH"] ?? "", BOXYARD_YARDS: control.yards, ...env };
  return execa(bin, args, { reject: false, cwd: "/", input, extendEnv: false, env: environment, timeout: 20_000 });
}

const routesAsked = (): string[] => control.asked.map(({ route }) => route);

test("the pages about actions are what their declarations say", async () => {
  const { stdout } = await boxyard(["actions", "--markdown"]);
  await expect(`${stdout}\n`).toMatchFileSnapshot("../../docs/actions.md");
});

describe("the command line", () => {
  test("works through a link, from any directory, in the yard that BOXYARD_YARD names", async () => {
    await symlink(BIN, join(scratch, "by"));
    await control.writeYard("try");
    control.script = { status: () => ({ ...STATUS, yard: "try" }) };
    const result = await boxyard(["status", "--json"], { bin: join(scratch, "by"), env: { BOXYARD_YARD: "try" } });
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
    const result = await boxyard(args);
    expect(result.stderr).toContain(words);
    expect([result.exitCode, result.stdout, control.asked]).toEqual([2, "", []]);
  });

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
      const { stdout, exitCode } = await boxyard([...command.split(" ").filter(Boolean), "--help"], { env: { COLUMNS: "120" } });
      expect(exitCode, command).toBe(0);
      helps.push(`$ boxyard ${command} --help\n${stdout}`);
    }
    await expect(`${helps.join("\n\n")}\n`).toMatchFileSnapshot("golden/help.txt");
  }, 120_000);
});

describe("a fault", () => {
  test("of control is told on standard error with the next step, ends with 1, and standard output stays empty, also with --json", async () => {
    control.script = {
      showWebsite: () => {
        throw new Fault("website.unknown", "there is no website s9", { next: "see which there are: boxyard website list" });
      },
    };
    const result = await boxyard(["website", "show", "s9", "--json"]);
    expect([result.exitCode, result.stdout]).toEqual([1, ""]);
    expect(result.stderr).toBe("there is no website s9\n→ see which there are: boxyard website list");
  });

  test("is told without what could steer a terminal", async () => {
    control.script = {
      status: () => {
        throw new Fault("x.y", "bad \u001b[2Jname");
      },
    };
    expect((await boxyard(["status"])).stderr).toBe("bad �[2Jname");
  });

  test("for a yard that is not there says how to make it", async () => {
    const result = await boxyard(["--yard", "nowhere", "status"]);
    expect([result.exitCode, result.stderr]).toEqual([1, expect.stringContaining("bin/up --yard nowhere")]);
  });

  test("for a control that is off says where it should be", async () => {
    await control.writeYard("off", { url: "https://127.0.0.1:1" });
    const result = await boxyard(["--yard", "off", "status"]);
    expect([result.exitCode, result.stderr]).toEqual([1, expect.stringMatching(/yard off does not answer at https:\/\/127\.0\.0\.1:1/)]);
  });
});

type Answered = Omit<RequestAnswer, "kind">;

/** The lines of a request that these servers have answered. */
function answered(...answers: readonly Answered[]): RequestLine[] {
  const failed = answers.flatMap(({ server, fault }) => (fault === undefined ? [] : [server]));
  return [
    { kind: "asked", request: "00000000-0000-4000-8000-000000000000", governors: [], servers: answers.map(({ server }) => server) },
    ...answers.map((answer) => ({ kind: "answer" as const, ...answer })),
    {
      kind: "summary",
      durationMs: 12,
      answered: answers.length - failed.length,
      failed,
      notAsked: [],
      sums: { usedPercent: { kind: "range", least: 10, median: 20, greatest: 90 } },
    },
  ];
}

describe("a request to servers", () => {
  const disks = answered(
    { server: "c1b1", durationMs: 1, output: { path: "/", usedPercent: 90 } },
    { server: "c1b12", durationMs: 2.25, output: { path: "/", usedPercent: 10 } },
    { server: "c1b2", durationMs: 3, fault: { code: "fabric.silent", message: "c1b2 is silent since 08:00", next: "look at it" } },
  );

  test("shows each answer in a line, then what all come to, and ends with 1 when one failed", async () => {
    control.script = { request: () => disks };
    const { exitCode, stdout } = await boxyard(["do", "server.disk", "--path", "/", "--target", "box and c1"]);
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
    expect(control.asked[0]?.input).toMatchObject({ action: "server.disk", target: "box and c1", input: { path: "/" } });
  });

  test("sorts by a field, and gives names alone to feed another command", async () => {
    control.script = { request: () => disks };
    const sorted = await boxyard(["do", "server.disk", "--sort", "usedPercent"]);
    expect(sorted.stdout.match(/^c1b\d+/gm)).toEqual(["c1b12", "c1b1", "c1b2"]);
    expect((await boxyard(["do", "server.disk", "--names"])).stdout).toBe("c1b1\nc1b12");
  });

  test("carries its limits", async () => {
    control.script = { request: () => answered({ server: "c1b1", durationMs: 1, output: {} }) };
    const limits = ["--at-once", "5", "--batch", "10", "--pause", "2", "--stop-after", "5%", "--deadline", "60", "--timeout", "1.5"];
    await boxyard(["do", "service.restart", "--service", "varnish", "--target", "cache", "--broadcast", "--sample", "3", ...limits]);
    expect(control.asked[0]?.input).toMatchObject({
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
    const { exitCode, stderr } = await boxyard(args);
    expect([exitCode, routesAsked()]).toEqual([2, []]);
    expect(stderr).toContain(says);
  });

  test("that control broke off says so, and how far it had come", async () => {
    control.script = { request: () => disks.slice(0, 2) };
    const { exitCode, stderr } = await boxyard(["do", "server.disk"]);
    expect([exitCode, stderr]).toEqual([1, expect.stringContaining("control broke off after 1 of 3 answers")]);
  });

  test("can be looked up with all that can be asked for, without any yard", async () => {
    const { stdout } = await boxyard(["--yard", "nowhere", "actions", "--json"]);
    const actions = JSON.parse(stdout) as { name: string; input: unknown }[];
    expect(actions.map(({ name }) => name)).toContain("service.restart");
    expect(routesAsked()).toEqual([]);
  });
});

describe("JSON", () => {
  test("is what control gave, with nothing beside it", async () => {
    control.script = {
      showWebsite: () => WEBSITE,
      listServers: () => SERVERS,
      listDeployments: () => [deployment(1, "live"), deployment(2, "failed")],
      showDeployment: () => deployment(2, "failed"),
      listKeys: () => [KEY],
      request: () => answered({ server: "c1b1", durationMs: 1.5, output: {} }),
    };
    const json = async (...args: string[]): Promise<unknown> => JSON.parse((await boxyard([...args, "--json"])).stdout);
    expect(await json("website", "show", "s1")).toEqual(WEBSITE);
    expect(await json("server", "list")).toEqual(SERVERS);
    expect(await json("deployment", "list", "s1")).toEqual([deployment(1, "live"), deployment(2, "failed")]);
    expect(await json("deployment", "show", "2")).toEqual(deployment(2, "failed"));
    expect(await json("key", "list", "s1")).toEqual([KEY]);
    expect(await json("ping", "c1")).toEqual([{ server: "c1b1", durationMs: 1.5, error: null }]);
  });

  test("is also there when a server does not answer a ping, which ends with 1", async () => {
    const fault = { code: "fabric.timed-out", message: "no answer", next: null };
    control.script = { request: () => answered({ server: "c1b1", durationMs: 500, fault }) };
    const result = await boxyard(["ping", "c1b1", "--timeout", "0.5", "--json"]);
    expect([result.exitCode, JSON.parse(result.stdout)[0].error]).toEqual([1, "no answer"]);
    expect(control.asked[0]?.input).toMatchObject({ action: "server.ping", target: "c1b1", timeoutMs: 500 });
  });
});

describe("work that takes time", () => {
  test("website create waits until all is ready, tells what it waits for, and gives the website with its id", async () => {
    let looks = 0;
    control.script = {
      createWebsite: () => ({ ...WEBSITE, isReady: false }),
      showWebsite: () => ({ ...WEBSITE, isReady: ++looks > 1 }),
      listServers: () => [...SERVERS, { ...SERVERS[0], name: "c2b1", cluster: "c2", state: "failed", reason: "not ours" } as Server],
    };
    const result = await boxyard(["website", "create", "--cluster", "c1", "--domain", "WWW.Example.org", "--json"]);
    expect(JSON.parse(result.stdout)).toEqual(WEBSITE);
    expect(result.stderr).toBe("waiting for c1b2 (converging)");
    expect(control.asked[0]?.input).toEqual({ cluster: "c1", domain: "www.example.org", environment: "production", branch: "main" });
  });

  test("with --no-wait returns at once", async () => {
    control.script = { createCluster: () => ({ ...CLUSTER, isReady: false }) };
    const result = await boxyard(["cluster", "create", "--boxes", "3", "--no-wait", "--json"]);
    expect([result.exitCode, JSON.parse(result.stdout).id, routesAsked()]).toEqual([0, "c1", ["createCluster"]]);
    expect(control.asked[0]?.input).toEqual({ boxes: 3, minBoxes: null });
  });

  test("ends at its time limit with 1 and names what is missing and why", async () => {
    const failed: Server = { ...SERVERS[1], state: "failed", reason: "apache: syntax error\nat line 3" } as Server;
    control.script = {
      scaleCluster: () => CLUSTER,
      showCluster: () => ({ ...CLUSTER, isReady: false }),
      listServers: () => [failed],
    };
    const result = await boxyard(["cluster", "scale", "c1", "--boxes", "3", "--timeout", "0.5"]);
    expect([result.exitCode, result.stdout]).toEqual([1, ""]);
    expect(result.stderr).toContain("cluster c1 is not ready after 0.5 s: still waiting for c1b2 (failed: apache: syntax error)");
  });

  test("cluster delete waits until its servers are gone and the backends have forgotten them", async () => {
    let looks = 0;
    const edge: Server = { ...SERVERS[0], name: "edge1", roles: ["edge"], cluster: null } as Server;
    control.script = {
      showCluster: () => CLUSTER,
      deleteCluster: () => ({ id: "c1" }),
      listServers: () => [[...SERVERS, edge], [{ ...edge, state: "converging" as const }], [edge]][Math.min(looks++, 2)] ?? [],
    };
    const result = await boxyard(["cluster", "delete", "c1", "--json"]);
    expect(JSON.parse(result.stdout)).toEqual({ id: "c1" });
    expect(result.stderr).toBe("waiting for c1b1 (ready), c1b2 (converging)\nwaiting for edge1 (converging)");
  });

  test("website delete asks at a terminal, and deletes nothing unless the id is typed; scripts are not asked", async () => {
    control.script = { showWebsite: () => WEBSITE, deleteWebsite: () => ({ id: "s1" }), listServers: () => [] };
    const typed = await execa("script", ["-qec", `${BIN} website delete s1`, "/dev/null"], {
      input: "s2\n",
      reject: false,
      env: { BOXYARD_YARDS: control.yards },
    });
    expect([typed.exitCode, routesAsked()]).toEqual([1, ["showWebsite"]]);
    expect(typed.stdout).toContain("nothing was deleted");
    expect((await boxyard(["website", "delete", "s1"])).exitCode).toBe(0);
    expect(routesAsked()).toContain("deleteWebsite");
  });
});

describe("key add", () => {
  beforeEach(() => {
    control.script = { addKey: () => KEY, showWebsite: () => WEBSITE };
  });

  test.each(["a file", "standard input", "the line itself"])("takes a key from %s", async (source) => {
    await writeFile(join(scratch, "id.pub"), `${PUBLIC_KEY}\n`);
    const given = { "a file": join(scratch, "id.pub"), "standard input": "-" }[source] ?? PUBLIC_KEY;
    const result = await boxyard(["key", "add", "s1", given, "--json"], { input: `${PUBLIC_KEY}\n` });
    expect(JSON.parse(result.stdout)).toEqual(KEY);
    expect(control.asked[0]?.input).toEqual({ publicKey: PUBLIC_KEY });
  });

  test("refuses a private key, names the public one, and shows none of it", async () => {
    const path = join(scratch, "id");
    await execa("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-f", path]);
    const secret = await readFile(path, "utf8");
    for (const given of [path, "-"]) {
      const result = await boxyard(["key", "add", "s1", given], { input: secret });
      expect([result.exitCode, result.stdout, control.asked]).toEqual([1, "", []]);
      expect(result.stderr).toContain(".pub");
      expect(result.stderr).not.toContain(secret.split("\n")[1]);
    }
  });

  test.each(["/dev/zero", "/", "/no/such/file", "hello", ""])("refuses %j, which is no key", async (given) => {
    const result = await boxyard(["key", "add", "s1", given]);
    expect([result.exitCode, control.asked]).toEqual([1, []]);
    expect(result.stderr).toMatch(/SSH public key/);
  });
});

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
    control.script = {
      listDeployments: () => [deployment(7, "received")],
      deploymentEvents: ({ input: { after } }) => ({ events: story.slice(after, after + 1), isFinal: ++looks > story.length }),
      showDeployment: () => deployment(7, state),
    };
    const result = await boxyard(["deployment", "watch", "s1", "--json"]);
    expect([result.exitCode, JSON.parse(result.stdout)]).toEqual([exitCode, deployment(7, state)]);
    expect(result.stderr.split("\n")).toEqual(told);
  });

  test("ends before the deployment does when its time is over, and says how to go on", async () => {
    control.script = {
      rollback: () => deployment(7, "received"),
      deploymentEvents: () => ({ events: [], isFinal: false }),
    };
    const result = await boxyard(["rollback", "s1", "--timeout", "0.1"]);
    expect([result.exitCode, result.stderr]).toEqual([
      1,
      "deployment 7 has not ended after 0.1 s; it goes on\n→ boxyard deployment watch 7",
    ]);
  });

  test("of a website that was never pushed to says so", async () => {
    control.script = { listDeployments: () => [] };
    expect((await boxyard(["deployment", "watch", "s1"])).stderr).toMatch(/s1 has no deployment yet\n→ /);
  });
});

describe("logs", () => {
  test("show each line with its server, without what could steer a terminal, and name servers that are silent", async () => {
    control.script = { readLogs: () => ({ lines: [{ server: "c1b1", line: "GET /\u001b[2J" }], cursors: {}, silent: ["c1b2"] }) };
    const result = await boxyard(["logs", "s1", "--error", "--lines", "5"]);
    expect([result.stdout, result.stderr]).toEqual(["c1b1  GET /�[2J", "c1b2 does not answer: its lines are missing"]);
    expect(control.asked[0]?.input).toEqual({ kind: "error", lines: 5 });
  });

  test("--follow goes on from where the answer before ended, until the reader has enough", async () => {
    control.script = {
      readLogs: ({ input: { cursors } }) => ({
        lines: [{ server: "c1b1", line: cursors === undefined ? "first" : "second" }],
        cursors: { c1b1: "42" },
        silent: [],
      }),
    };
    const result = await execa("bash", ["-c", `${BIN} logs s1 --follow --json | head -2`], { env: { BOXYARD_YARDS: control.yards } });
    expect(result.stdout.split("\n").map((line) => JSON.parse(line).line)).toEqual(["first", "second"]);
    expect(control.asked[1]?.input).toMatchObject({ cursors: '{"c1b1":"42"}' });
  });
});

test("tables are aligned, without colour where there is no terminal", async () => {
  control.script = { listServers: () => SERVERS };
  expect((await boxyard(["server", "list"])).stdout.split("\n")).toEqual([
    "NAME  ROLES  CLUSTER  ADDRESS     STATE       GENERATION",
    "c1b1  box    c1       10.99.0.10  ready       4",
    "c1b2  box    c1       10.99.0.11  converging  3 of 4      at generation 3 of 4",
  ]);
});

const STATUS: YardStatus = {
  yard: "main",
  control: { url: "https://10.99.0.2:8443", version: "0.1.0" },
  edge: { address: "10.99.0.3" },
  git: { address: "10.99.0.4", hostKey: "ssh-ed25519 AAAA" },
  servers: { total: 9, ready: 9 },
  brokers: [{ server: "control1", address: "10.99.0.2", state: "ready", leads: ["EVENTS"], behindBy: 0 }],
  clusters: 1,
  websites: 1,
  troubles: [],
};
const BOX = { roles: ["box"], cluster: "c1", targetGeneration: 4 } satisfies Partial<Server>;
const SERVERS: Server[] = [
  { ...BOX, name: "c1b1", address: "10.99.0.10", state: "ready", reason: null, generation: 4 },
  { ...BOX, name: "c1b2", address: "10.99.0.11", state: "converging", reason: "at generation 3 of 4", generation: 3 },
];
const CLUSTER: Cluster = { id: "c1", boxes: 2, minBoxes: null, isReady: true, servers: SERVERS, websites: [] };
const WEBSITE: Website = {
  id: "s1",
  cluster: "c1",
  environment: "production",
  branch: "main",
  domains: [{ name: "www.example.org", kind: "main" }],
  gitUrl: "ssh://s1@10.99.0.4/s1",
  sshUrl: "ssh://s1@10.99.0.9",
  release: COMMIT,
  servers: [{ name: "c1b1", role: "box", release: COMMIT }],
  isReady: true,
};
const KEY: SshKey = { fingerprint: "SHA256:x", type: "ssh-ed25519", comment: "me@example.org", publicKey: PUBLIC_KEY, addedAt: AT };

function deployment(id: number, state: DeploymentState): Deployment {
  const server = { name: "c1b1", role: "box", stagedAt: AT, switchedAt: AT, clockOffsetMs: -0.42, error: null, isLeftOut: false } as const;
  const cause = { kind: "push", push: "p", caller: null } as const;
  const common = { website: "s1", cluster: "c1", commit: COMMIT, previous: null, acceptedAt: AT, finishedAt: AT, servers: [server] };
  return { ...common, ...cause, id, state, reason: state === "live" ? null : "for a reason" };
}
