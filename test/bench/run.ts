/** Takes the figures of docs/benchmarks.md on a yard of its own: `node test/bench/run.ts` (as root, about half an hour). */
import { rm, writeFile } from "node:fs/promises";
import { cpus, totalmem } from "node:os";
import { execa } from "execa";
import { must, repeat, timed } from "./measure.ts";

process.env["BOXYARD_TEST_YARD"] ??= "bench";
const { bin, boxyardJson, lastDeployment, status, TEST_YARD } = await import("../harness/yard.ts");
const { forgetImage, mustInServer, processIdOf } = await import("../harness/servers.ts");
const { Repository } = await import("../harness/repository.ts");

const ROUNDS = 5;
const IMAGE_CACHE = "/var/cache/boxyard/images";
const OTHERS = `Each with the command that takes them, the machine and the date:

- [the fabric with 100, 1,000 and 10,000 agents](benchmarks-fabric.md), and [beside MCollective](benchmarks-peers.md)
- [deployments beside an ssh loop, Capistrano and Ansible](benchmarks-deployments.md), and [what visitors notice of one](benchmarks-visitors.md)
- [what a push costs because the broker has it on disk first](benchmarks-broker.md)
`;
const rows: { figure: string; median: string; spread: string; target: string }[] = [];

await benchUp();
const cluster = await benchCluster();
await benchDeployment(cluster);
await benchAddBox(cluster);
await benchMemory();
await benchRequests();
await must(bin("down", ["--yard", TEST_YARD]));
await write();

/** Packages are installed in every round: what apt takes depends on the mirror, not on us. */
async function benchUp(): Promise<void> {
  const cold = (): Promise<number> => inSeconds(() => must(bin("up", ["--yard", TEST_YARD, "--json"], 1_800_000)));
  const down = (): Promise<void> => must(bin("down", ["--yard", TEST_YARD]));
  record(
    "`bin/up`, cold: the image is built, the yard is new",
    await repeat(ROUNDS, async () => {
      await down();
      await forgetImage();
      await rm(IMAGE_CACHE, { recursive: true, force: true });
      return cold();
    }),
    "s",
    "–",
  );
  record(
    "`bin/up`, image at hand, the yard is new",
    await repeat(ROUNDS, async () => {
      await down();
      return cold();
    }),
    "s",
    "–",
  );
  record("`bin/up`, warm", await repeat(ROUNDS, () => inSeconds(() => must(bin("up", ["--yard", TEST_YARD, "--json"])))), "s", "≤ 15 s");
}

async function benchCluster(): Promise<string> {
  const times: number[] = [];
  let last = "";
  for (let round = 0; round < ROUNDS; round++) {
    times.push(
      await inSeconds(async () => {
        last = (await boxyardJson<{ id: string }>("cluster", "create", "--boxes", "1")).id;
      }),
    );
    if (round < ROUNDS - 1) await boxyardJson("cluster", "delete", last);
  }
  record("create a cluster of 4 servers until all are ready", times, "s", "–");
  return last;
}

async function benchAddBox(cluster: string): Promise<void> {
  const times: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    times.push(await inSeconds(() => boxyardJson("cluster", "scale", cluster, "--boxes", "5")));
    await boxyardJson("cluster", "scale", cluster, "--boxes", "4");
  }
  record("add a box until it serves (one website of 1,240 files)", times, "s", "≤ 20 s");
}

/** A site of 1,240 files on 4 boxes, one file changed per push. */
async function benchDeployment(cluster: string): Promise<void> {
  await boxyardJson("cluster", "scale", cluster, "--boxes", "4");
  const website = await boxyardJson<{ id: string; gitUrl: string }>(
    "website",
    "create",
    "--cluster",
    cluster,
    "--domain",
    "bench.example.test",
  );
  const repository = await Repository.create();
  await repository.mayPushTo(website.id);
  const body = "<?php // a line of code that makes a file of usual size\n".repeat(60);
  await repository.write(Object.fromEntries(Array.from({ length: 1_240 }, (_, n) => [`docroot/modules/m${n % 40}/file${n}.php`, body])));
  await repository.write({ "docroot/index.php": "<?php echo 'first';" });
  const [toLastSwitch, spread, whole]: [number[], number[], number[]] = [[], [], []];
  for (let round = 0; round <= ROUNDS + 2; round++) {
    await repository.write({ "docroot/index.php": `<?php echo 'round ${round}';` });
    await repository.commit(`round ${round}`);
    const took = await inSeconds(async () => {
      const pushed = await repository.push(website.gitUrl);
      if (pushed.exitCode !== 0) throw new Error(pushed.stderr);
    });
    if (round === 0) continue;
    const { acceptedAt, servers } = await lastDeployment(website.id);
    const switches = servers.map((server) => micros(server.switchedAt ?? ""));
    whole.push(took);
    toLastSwitch.push((Math.max(...switches) - micros(acceptedAt)) / 1e6);
    spread.push((Math.max(...switches) - Math.min(...switches)) / 1e3);
  }
  await repository.remove();
  record("accepted push → last switch, one file of 1,241, 4 boxes and shell", toLastSwitch, "s", "≤ 1.0 s");
  record("spread between first and last switch", spread, "ms", "≤ 20 ms");
  record("whole `git push` as the pusher sees it", whole, "s", "–");
}

async function benchMemory(): Promise<void> {
  const servers = (await boxyardJson<{ name: string }[]>("server", "list")).map((server) => server.name);
  const sizes: number[] = [];
  for (const server of servers) {
    const text = await mustInServer(server, "sh", "-c", "cat /proc/$(systemctl show -p MainPID --value boxyard-agent)/smaps_rollup");
    sizes.push(Number(/^Pss:\s+(\d+)/m.exec(text)?.[1]) / 1024);
  }
  record(`agent memory (PSS), ${servers.length} agents`, sizes, "MB", "≤ 70 MB");
}

/** A cached page: through the edge's TLS against Varnish asked directly, in turn. */
async function benchRequests(): Promise<void> {
  const { edge } = await status();
  const domain = `www.${TEST_YARD}.test`;
  const cache = (await boxyardJson<{ name: string; address: string }[]>("server", "list")).find((server) => server.name === "c1v1");
  await ensureWrk();
  const [through, direct, ratio]: [number[], number[], number[]] = [[], [], []];
  for (let round = 0; round < ROUNDS; round++) {
    const first = await wrk(`https://${edge.address}/static.txt`, domain);
    const second = await wrk(`http://${cache?.address}/static.txt`, domain);
    through.push(first);
    direct.push(second);
    ratio.push(first / second);
  }
  record("requests per second, cached page, edge (TLS) + cache", through, "/s", "–");
  record("the same from Varnish directly (the limit)", direct, "/s", "–");
  record("ratio of the two, round by round", ratio, "", "–");
}

/** In the network of the edge router: caches answer the yard's edge and their cluster only. */
async function wrk(url: string, host: string): Promise<number> {
  const pid = await processIdOf("edge1");
  const load = ["wrk", "-t1", "-c16", "-d5s", "-H", `Host: ${host}`, "-H", "X-Forwarded-Proto: https", url];
  const { stdout } = await execa("nsenter", ["--net", `--target=${pid}`, ...load]);
  return Number(/Requests\/sec:\s+([\d.]+)/.exec(stdout)?.[1]);
}

async function ensureWrk(): Promise<void> {
  await execa("apt-get", ["-qq", "install", "-y", "--no-install-recommends", "wrk"], { env: { DEBIAN_FRONTEND: "noninteractive" } });
}

async function inSeconds(work: () => Promise<unknown>): Promise<number> {
  return (await timed(work)) / 1000;
}

function micros(timestamp: string): number {
  return Date.parse(`${timestamp.slice(0, 19)}Z`) * 1000 + Number(timestamp.slice(20, 26));
}

function record(figure: string, values: readonly number[], unit: string, target: string): void {
  const sorted = [...values].sort((a, b) => a - b);
  const show = (value: number | undefined) => `${(value ?? Number.NaN).toPrecision(3)} ${unit}`.trim();
  const row = {
    figure,
    median: show(sorted[Math.floor(sorted.length / 2)]),
    spread: `${show(sorted[0])} – ${show(sorted.at(-1))} (${sorted.length})`,
    target,
  };
  rows.push(row);
  console.log(row);
}

async function write(): Promise<void> {
  const machine = `${cpus().length} × ${cpus()[0]?.model.trim()}, ${Math.round(totalmem() / 2 ** 30)} GiB, all servers on this one machine`;
  const table = rows.map((row) => `| ${row.figure} | ${row.median} | ${row.spread} | ${row.target} |`);
  await writeFile(
    "docs/benchmarks.md",
    [
      "# Figures",
      "",
      `Taken by \`node test/bench/run.ts\` on ${new Date().toISOString().slice(0, 10)}: ${machine}. Medians; machines of this kind are noisy.`,
      "",
      "| figure | median | min – max (runs) | target |",
      "|---|---|---|---|",
      ...table,
      "",
      OTHERS,
    ].join("\n"),
  );
}
