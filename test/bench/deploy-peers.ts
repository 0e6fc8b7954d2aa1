/**
 * One changed file of a site, on its way to 1, 4 and 8 boxes: Boxyard's push against a parallel ssh loop, Capistrano and
 * Ansible on the same servers in turns; and what each leaves behind when a box fails meanwhile:
 * `node test/bench/deploy-peers.ts` (as root on Debian 12, about 25 minutes; installs Debian's capistrano and ansible).
 */
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { cpus, tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { execa } from "execa";
import { sshCommand, type Tool, tools } from "./deploy-tools.ts";
import { median, must } from "./measure.ts";

process.env["BOXYARD_TEST_YARD"] ??= "bench";
const { bin, boxyardJson, lastDeployment, listServers, TEST_YARD } = await import("../harness/yard.ts");
const { inServer, mustInServer } = await import("../harness/servers.ts");
const { whilePoweredOff } = await import("../harness/faults.ts");
const { allAreBack } = await import("../harness/requests.ts");
const { createSite, removeSite } = await import("../harness/site.ts");
const { microsOf, nowMicros } = await import("../../src/base/clock.ts");

const ROUNDS = Number(process.env["ROUNDS"] ?? 5);
const SIZES = (process.env["SIZES"] ?? "1 4 8").split(" ").map(Number);
const FILES = 1_240;
const MANY_FILES = 20_000;
const ALONE_PAUSE_MS = 5_000;
const INDEX = "docroot/index.php";
/** Carries no website, so that the others' repository has it to itself. */
const THEIR_GIT_SERVER = "db1";
const OUR_GIT_SERVER = "git1";
const VICTIM = "c1b2";

/** One deployment. */
interface Run {
  readonly wholeMs: number;
  readonly switchedMs: number;
  readonly spreadMs: number;
  readonly kilobytes: number;
  readonly cpuSeconds: number;
  readonly isGood: boolean;
}

interface Row extends Omit<Run, "isGood"> {
  readonly tool: string;
  readonly boxes: number;
  /** Runs that ended well on all boxes, of how many. */
  readonly good: string;
}

interface Failure {
  readonly tool: string;
  readonly exitCode: number;
  readonly others: string;
  readonly victim: string;
}

const rows: Row[] = [];
/** How far Boxyard's switches lay apart by the servers' receipts, with four boxes: the kernel's stamps are some milliseconds coarse. */
const receiptSpreadsMs: number[] = [];
const failures: Failure[] = [];
const scratch = await mkdtemp(join(tmpdir(), "boxyard-peers-"));
const key = join(scratch, "key");
let revision = 0;
await execa("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-f", key]);
await execa("apt-get", ["install", "-y", "-qq", "--no-install-recommends", "capistrano", "ansible"], {
  env: { DEBIAN_FRONTEND: "noninteractive" },
});

await must(bin("down", ["--yard", TEST_YARD]));
await must(bin("up", ["--yard", TEST_YARD, "--bare"], 1_800_000));
await boxyardJson("cluster", "create", "--boxes", "1");
const { website, repository } = await createSite("peers.example.test");
await fill(FILES);
await repository.commit("a site");
const gitUrl = await theirGit();
const boxyard: Tool = {
  name: "Boxyard",
  directory: `/srv/sites/${website.id}`,
  deploy: async () => {
    const { exitCode, stderr } = await repository.push(website.gitUrl);
    if (exitCode !== 0 || /going on without|warning/.test(stderr)) console.error(stderr);
    return exitCode;
  },
};
for (const boxes of SIZES) {
  const all = [boxyard, ...(await theirTools(boxes))];
  await compare(all, boxes);
  if (boxes === 4) for (const tool of all) await breakOne(tool);
}
await boxyardJson("cluster", "scale", "c1", "--boxes", "4");
await fill(MANY_FILES);
await compare([{ ...boxyard, name: `Boxyard, ${MANY_FILES.toLocaleString("en")} files` }], 4);
await writeDocument();
await removeSite({ website, repository });
await must(bin("down", ["--yard", TEST_YARD]));
await rm(scratch, { recursive: true });

async function fill(amount: number): Promise<void> {
  const body = "<?php // a line of code that makes a file of usual size\n".repeat(60);
  await repository.write(Object.fromEntries(Array.from({ length: amount }, (_, n) => [`docroot/modules/m${n % 40}/file${n}.php`, body])));
}

/** Changes one file and commits it; gives what it says now. */
async function change(tool: Tool): Promise<string> {
  const content = `<?php echo 'revision ${++revision}';`;
  await repository.write({ [INDEX]: content });
  await repository.commit(`revision ${revision}`);
  // With the others the push is no part of the deployment.
  if (!isOurs(tool)) await execa("git", ["push", "-q", "--force", gitUrl, "HEAD:refs/heads/main"], withKey());
  return content;
}

function isOurs({ directory }: Tool): boolean {
  return directory === boxyard.directory;
}

function withKey() {
  return { cwd: repository.directory, env: { GIT_SSH_COMMAND: sshCommand(key).join(" ") } };
}

/** A repository that root may fetch from with the key. */
async function theirGit(): Promise<string> {
  const address = await openToRoot(THEIR_GIT_SERVER);
  await mustInServer(THEIR_GIT_SERVER, "git", "init", "-q", "--bare", "--initial-branch=main", "/root/peer.git");
  return `root@${address}:/root/peer.git`;
}

/** Lets root log in by the key, which Boxyard's servers do not; gives the address. */
async function openToRoot(server: string): Promise<string> {
  const config = "Host *\n  StrictHostKeyChecking no\n  UserKnownHostsFile /dev/null\n  LogLevel ERROR\n";
  const files = { authorized_keys: await readFile(`${key}.pub`, "utf8"), id_ed25519: await readFile(key, "utf8"), config };
  await mustInServer(server, "sh", "-c", "mkdir -p -m 700 /root/.ssh /run/sshd && ssh-keygen -A");
  for (const [name, content] of Object.entries(files))
    await inServer(server, ["sh", "-c", `cat > /root/.ssh/${name} && chmod 600 /root/.ssh/${name}`], content);
  await mustInServer(server, "systemctl", "start", "ssh");
  const found = (await listServers()).find(({ name }) => name === server);
  if (found === undefined) throw new Error(`no server ${server}`);
  return found.address;
}

async function boxNames(): Promise<string[]> {
  return (await listServers()).filter(({ roles }) => roles.includes("box")).map(({ name }) => name);
}

async function theirTools(boxes: number): Promise<Tool[]> {
  await boxyardJson("cluster", "scale", "c1", "--boxes", String(boxes));
  const names = await boxNames();
  const addresses = await Promise.all(names.map(openToRoot));
  await Promise.all(addresses.map(givePython));
  return tools({ scratch, key, gitUrl, addresses });
}

/** Ansible wants one of its own time, and Boxyard's servers have none: they get this machine's. */
async function givePython(address: string): Promise<void> {
  const without = ["test", "idlelib", "dist-packages", "__pycache__", "lib2to3"].map((name) => `--exclude=${name}`).join(" ");
  const pack = `tar -C / ${without} -cf - usr/bin/python3 usr/bin/python3.11 usr/lib/python3.11`;
  await execa("sh", ["-c", `${pack} | ${sshCommand(key).join(" ")} root@${address} tar -C / -xf -`]);
}

/** All tools in turns, so that whatever else the machine does meets all of them. */
async function compare(all: readonly Tool[], boxes: number): Promise<void> {
  const runs = new Map<Tool, Run[]>(all.map((tool) => [tool, []]));
  const idle = await idleLoad();
  for (let round = 0; round <= ROUNDS; round++)
    for (const tool of all) {
      // With others in turns seconds lie between two deployments of a tool; alone it would meet what it does afterwards.
      if (all.length === 1) await sleep(ALONE_PAUSE_MS);
      const run = await measure(tool, idle);
      // The first one clones.
      if (round > 0) runs.get(tool)?.push(run);
    }
  for (const [{ name }, those] of runs) {
    const good = those.filter(({ isGood }) => isGood);
    const of = (figure: (run: Run) => number): number => median(good.map(figure));
    const row: Row = {
      tool: name,
      boxes,
      wholeMs: of(({ wholeMs }) => wholeMs),
      switchedMs: of(({ switchedMs }) => switchedMs),
      spreadMs: of(({ spreadMs }) => spreadMs),
      kilobytes: of(({ kilobytes }) => kilobytes),
      cpuSeconds: of(({ cpuSeconds }) => cpuSeconds),
      good: `${good.length} of ${those.length}`,
    };
    rows.push(row);
    console.log(row);
  }
}

async function measure(tool: Tool, idle: number): Promise<Run> {
  const content = await change(tool);
  const gitServer = isOurs(tool) ? OUR_GIT_SERVER : THEIR_GIT_SERVER;
  const sentBefore = await sentBytes(gitServer);
  const busyBefore = await busySeconds();
  const startedAt = nowMicros();
  const exitCode = await tool.deploy();
  const wholeMs = (nowMicros() - startedAt) / 1_000;
  const cpuSeconds = (await busySeconds()) - busyBefore - (idle * wholeMs) / 1_000;
  const kilobytes = ((await sentBytes(gitServer)) - sentBefore) / 1_000;
  const boxes = await boxNames();
  const live = await Promise.all(boxes.map((box) => liveOn(box, tool)));
  const behind = boxes.flatMap((box, index) => (live[index]?.content === content ? [] : [`${box} (${JSON.stringify(live[index])})`]));
  if (exitCode !== 0 || behind.length > 0) console.error(`${tool.name}: exit status ${exitCode}, behind: ${behind.join(", ")}`);
  const moments = live.map(({ atMicros }) => atMicros);
  const ours = isOurs(tool) ? await lastDeployment(website.id) : null;
  const from = ours === null ? startedAt : microsOf(ours.acceptedAt);
  if (ours !== null && boxes.length === 4) receiptSpreadsMs.push(spreadOf(ours.servers));
  return {
    wholeMs,
    switchedMs: (Math.max(...moments) - from) / 1_000,
    spreadMs: (Math.max(...moments) - Math.min(...moments)) / 1_000,
    kilobytes,
    cpuSeconds,
    isGood: exitCode === 0 && behind.length === 0,
  };
}

function spreadOf(servers: Awaited<ReturnType<typeof lastDeployment>>["servers"]): number {
  const moments = servers.flatMap(({ role, switchedAt }) => (role === "box" && switchedAt !== null ? [microsOf(switchedAt)] : []));
  return (Math.max(...moments) - Math.min(...moments)) / 1_000;
}

/** What a box serves, and since when: the moment at which its link was changed. */
async function liveOn(box: string, { directory }: Tool): Promise<{ content: string; atMicros: number }> {
  const said = await mustInServer(box, "sh", "-c", `stat -c %.6Z ${directory}/current && cat ${directory}/current/${INDEX}`);
  const [at = "", content = ""] = said.split("\n");
  return { content, atMicros: Math.round(Number(at) * 1_000_000) };
}

async function sentBytes(server: string): Promise<number> {
  return Number(await mustInServer(server, "cat", "/sys/class/net/eth0/statistics/tx_bytes"));
}

/** Seconds that all processors together have worked; the kernel counts in hundredths. */
async function busySeconds(): Promise<number> {
  const [, user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0] = (await readFile("/proc/stat", "utf8")).split(/\s+/).map(Number);
  return (user + nice + system + irq + softirq) / 100;
}

/** How much of a processor the yard takes when nothing happens. */
async function idleLoad(): Promise<number> {
  const [before, seconds] = [await busySeconds(), 5];
  await sleep(seconds * 1_000);
  return ((await busySeconds()) - before) / seconds;
}

/** Half-way through a deployment one of the boxes loses its power. */
async function breakOne(tool: Tool): Promise<void> {
  const half = (rows.find((row) => row.tool === tool.name && row.boxes === 4)?.switchedMs ?? 500) / 2;
  const content = await change(tool);
  const running = tool.deploy();
  await sleep(half);
  const [exitCode, others] = await whilePoweredOff(VICTIM, async () => {
    const code = await running;
    const left = (await boxNames()).filter((name) => name !== VICTIM);
    const live = await Promise.all(left.map((box) => liveOn(box, tool)));
    const fresh = live.filter((one) => one.content === content).length;
    return [code, fresh === 0 ? "all old" : fresh === live.length ? "all new" : `${fresh} new, ${live.length - fresh} old`] as const;
  });
  await allAreBack(120_000);
  const victim = (await liveOn(VICTIM, tool)).content === content ? "new" : "old";
  await openToRoot(VICTIM);
  const failure = { tool: tool.name, exitCode, others, victim };
  failures.push(failure);
  console.log(failure);
}

function find(tool: string, boxes: number): number {
  return rows.find((row) => row.tool === tool && row.boxes === boxes)?.switchedMs ?? Number.NaN;
}

async function writeDocument(): Promise<void> {
  const number = (value: number): string =>
    Number.isNaN(value) ? "–" : value < 100 ? value.toPrecision(3) : Math.round(value).toLocaleString("en");
  const table = rows.map((row) =>
    [
      row.tool,
      row.boxes,
      ...[row.switchedMs, row.spreadMs, row.wholeMs].map((ms) => `${number(ms)} ms`),
      `${number(row.kilobytes)} kB`,
      `${number(row.cpuSeconds)} s`,
      row.good,
    ].join(" | "),
  );
  const many = `Boxyard, ${MANY_FILES.toLocaleString("en")} files`;
  const ratio = (a: number, b: number): string => (Number.isFinite(a / b) ? (a / b).toFixed(2) : "–");
  const mine = find("Boxyard", 4);
  const ratios = [
    ["of the ssh loop's, 4 boxes", ratio(mine, find("ssh loop", 4)), "≤ 0.35"],
    ["of Capistrano's, 4 boxes", ratio(mine, find("Capistrano", 4)), "≤ 0.12"],
    ["of Ansible's, 4 boxes", ratio(mine, find("Ansible", 4)), "≤ 0.06"],
    ["8 boxes to 4", ratio(find("Boxyard", 8), mine), "≤ 2.2"],
    [`${MANY_FILES.toLocaleString("en")} files to ${FILES.toLocaleString("en")}`, ratio(find(many, 4), mine), "≤ 2"],
    ["spread by the servers' receipts, 4 boxes", `${number(median(receiptSpreadsMs))} ms`, "≤ 5 ms"],
  ].map((cells) => cells.join(" | "));
  const broken = failures.map(({ tool, exitCode, others, victim }) => [tool, exitCode, others, victim].join(" | "));
  const rowsOf = (lines: readonly string[]): string => lines.map((line) => `| ${line} |`).join("\n");
  const text = `# Deployments against what else one would use

Taken by \`node test/bench/deploy-peers.ts\` on ${new Date().toISOString().slice(0, 10)}: ${cpus().length} × ${cpus()[0]?.model.trim()}, all servers on this one machine.
A site of ${(FILES + 1).toLocaleString("en")} files, one of them changed. Boxyard counts from the accepted push to the last box's switch, its steps all included (a shell server
besides the boxes, both caches, every box asked); the others from the start of the command, their push before it not counted. A switch is the moment at which
the kernel changed the link \`current\`. Bytes are what the git server sent to anybody; CPU is that of the whole machine from the start of the command to its
end, less what the yard takes when idle. Medians of ${ROUNDS} runs, the tools in turns.

| tool | boxes | start → last switch | spread | whole command | git server sent | CPU | ended well on all boxes |
|---|---|---|---|---|---|---|---|
${rowsOf(table)}

| Boxyard's start → last switch, as a share; spread | measured | target |
|---|---|---|
${rowsOf(ratios)}

## One of four boxes loses its power half-way

| tool | exit status | the other three boxes | the box itself, when it is back |
|---|---|---|---|
${rowsOf(broken)}

With Boxyard nobody is sent to the box before it serves what the others serve; with the other tools that is the business of whoever runs them.
`;
  await writeFile("docs/benchmarks-deployments.md", text);
}
