/**
 * A yard of 50 servers against 50 daemons of the real MCollective on the same machine: `node test/bench/peers.ts RAW_TSV`, where
 * RAW_TSV is what `SIZES="1 10 50" RUNS=3 mcollective.sh scale` of the shared bench folder has written before.
 */
import { readFile, writeFile } from "node:fs/promises";
import { cpus } from "node:os";
import type { RequestSummary } from "#contract/request.ts";
import { median, must, repeat, timed } from "./measure.ts";

process.env["BOXYARD_TEST_YARD"] ??= "bench";
const { bin, boxyard, boxyardJson, listServers, TEST_YARD } = await import("../harness/yard.ts");
const { mustInServer } = await import("../harness/servers.ts");

const ROUNDS = 7;
/** With 4 backends, 2 caches and a shell server: 50 servers. */
const BOXES = 43;
const [rawTsv] = process.argv.slice(2);
const rows: { readonly figure: string; readonly boxyard: string; readonly mcollective: string }[] = [];

await must(bin("down", ["--yard", TEST_YARD]));
await must(bin("up", ["--yard", TEST_YARD, "--bare"], 1_800_000));
await boxyardJson("cluster", "create", "--boxes", String(BOXES), "--timeout", "900");
const theirs = await readTheirs();
await measure();
await write();
await must(bin("down", ["--yard", TEST_YARD]));

async function measure(): Promise<void> {
  const size = (await listServers()).length;
  const whole = await repeat(ROUNDS, () => timed(() => must(boxyard("ping"))));
  const last = await repeat(ROUNDS, async () => (await ask("--target", "all")).durationMs);
  record(`whole ping command, ${size} servers`, `${median(whole).toFixed(0)} ms`, their("rpc_ping_discovery", "wall_s", 1_000, "ms"));
  record(`request → last reply, ${size} servers`, `${median(last).toFixed(0)} ms`, their("rpc_ping_direct_all", "finished_ms", 1, "ms"));
  record("memory of an agent (PSS), idle", `${median(await memory()).toFixed(0)} MB`, their("mem_loaded", "pss_kib", 1 / 1024, "MB"));
  const one = "c1b7";
  await mustInServer(one, "systemctl", "kill", "--kill-whom=main", "--signal=STOP", "boxyard-agent");
  const hanging = await timed(() => boxyard("ping", "--timeout", "1"));
  await new Promise((resolve) => setTimeout(resolve, 10_000));
  const known = await timed(() => boxyard("ping", "--timeout", "10"));
  await mustInServer(one, "systemctl", "kill", "--kill-whom=main", "--signal=CONT", "boxyard-agent");
  record("whole ping command, one agent just stopped (time limit 1 s)", `${hanging.toFixed(0)} ms, named`, "10 s, or left out in silence");
  record("the same 10 s later (time limit 10 s)", `${known.toFixed(0)} ms, named`, "10 s, or left out in silence");
  const restarted = await repeat(ROUNDS, async () => {
    await mustInServer(one, "systemctl", "restart", "boxyard-agent");
    return timed(() => answering(one, 1));
  });
  record("a fresh agent is reachable after", `${median(restarted).toFixed(0)} ms`, "–");
  const back = await repeat(3, async () => {
    await mustInServer("control1", "systemctl", "kill", "--signal=KILL", "nats-server");
    return timed(() => answering("all", size));
  });
  record("broker killed: all agents answer again after", `${(median(back) / 1_000).toFixed(1)} s`, "7 – 27 s with 25 daemons (design.md)");
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

/** Medians of MCollective's raw figures with 50 daemons, by test and metric. */
async function readTheirs(): Promise<Map<string, number>> {
  const text = rawTsv === undefined ? "" : await readFile(rawTsv, "utf8");
  const values = Map.groupBy(
    text
      .split("\n")
      .map((line) => line.split("\t"))
      .filter(([, size]) => size === "50"),
    ([test, , , metric]) => `${test} ${metric}`,
  );
  return new Map([...values].map(([name, lines]) => [name, median(lines.map(([, , , , value]) => Number(value)))]));
}

function their(test: string, metric: string, factor: number, unit: string): string {
  const value = theirs.get(`${test} ${metric}`);
  return value === undefined ? "not taken" : `${(value * factor).toFixed(0)} ${unit}`;
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
      `Taken on ${new Date().toISOString().slice(0, 10)}, one after the other on one machine (${cpus().length} × ${cpus()[0]?.model.trim()}): first`,
      '`SIZES="1 10 50" RUNS=3 mcollective.sh scale` with MCollective 2.12.5 of Debian 12, 50 bare daemons; then `node test/bench/peers.ts RAW_TSV` with a',
      "yard of 50 whole servers, each a system container with its agent. Medians.",
      "",
      "| | Boxyard | MCollective |",
      "|---|---|---|",
      ...lines,
      "",
    ].join("\n"),
  );
}
