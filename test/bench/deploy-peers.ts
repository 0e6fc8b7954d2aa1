/**
 * One changed file of a site, on its way to 1, 4 and 8 boxes: Boxyard's push against a parallel ssh loop, Capistrano and
 * Ansible on the same servers, one after the other: `node test/bench/deploy-peers.ts DEPLOY_PEERS_SH` (as root, about 20
 * minutes), where DEPLOY_PEERS_SH is the script of that name in the shared bench folder.
 */
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { cpus, tmpdir } from "node:os";
import { join } from "node:path";
import { execa } from "execa";
import type { Repository } from "../harness/repository.ts";
import { median, must, timed } from "./measure.ts";

process.env["BOXYARD_TEST_YARD"] ??= "bench";
const { bin, boxyardJson, lastDeployment, listServers, TEST_YARD } = await import("../harness/yard.ts");
const { inServer, mustInServer } = await import("../harness/servers.ts");
const { createSite, removeSite } = await import("../harness/site.ts");
const { microsOf } = await import("../../src/base/clock.ts");

const ROUNDS = 5;
const SIZES = [1, 4, 8];
const FILES = 1_240;
const MANY_FILES = 20_000;
const INDEX = "docroot/index.php";

interface Row {
  readonly tool: string;
  readonly boxes: number;
  readonly wholeMs: number;
  readonly switchedMs: number;
  readonly spreadMs: number;
  /** Runs that ended well on all boxes, of how many. */
  readonly good: string;
}

const [script] = process.argv.slice(2);
if (script === undefined) throw new Error("which script? node test/bench/deploy-peers.ts DEPLOY_PEERS_SH");
const rows: Row[] = [];
const scratch = await mkdtemp(join(tmpdir(), "boxyard-peers-"));
const key = join(scratch, "key");
await execa("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-f", key]);

await must(bin("down", ["--yard", TEST_YARD]));
await must(bin("up", ["--yard", TEST_YARD, "--bare"], 1_800_000));
await boxyardJson("cluster", "create", "--boxes", "1");
const { website, repository } = await createSite("peers.example.test");
await fill(repository, FILES);
await repository.commit("a site");
const gitUrl = await theirGit(repository);
for (const boxes of SIZES) {
  await boxyardJson("cluster", "scale", "c1", "--boxes", String(boxes));
  await ours("Boxyard", boxes);
  await theirs(boxes);
}
const many = await manyFiles();
await write();
await must(bin("down", ["--yard", TEST_YARD]));
await rm(scratch, { recursive: true });

async function fill(site: Repository, amount: number): Promise<void> {
  const body = "<?php // a line of code that makes a file of usual size\n".repeat(60);
  await site.write(Object.fromEntries(Array.from({ length: amount }, (_, n) => [`docroot/modules/m${n % 40}/file${n}.php`, body])));
  await site.write({ [INDEX]: "<?php echo 'first';" });
}

async function ours(tool: string, boxes: number): Promise<Row> {
  const [whole, switched, spread]: [number[], number[], number[]] = [[], [], []];
  for (let round = 0; round <= ROUNDS; round++) {
    await repository.write({ [INDEX]: `<?php echo '${boxes} ${round}';` });
    await repository.commit(`round ${round}`);
    const took = await timed(() => must(repository.push(website.gitUrl)));
    if (round === 0) continue;
    const { acceptedAt, servers } = await lastDeployment(website.id);
    const moments = servers.map(({ switchedAt }) => microsOf(switchedAt ?? ""));
    whole.push(took);
    switched.push((Math.max(...moments) - microsOf(acceptedAt)) / 1_000);
    spread.push((Math.max(...moments) - Math.min(...moments)) / 1_000);
  }
  const good = `${ROUNDS} of ${ROUNDS}`;
  const row = { tool, boxes, wholeMs: median(whole), switchedMs: median(switched), spreadMs: median(spread), good };
  rows.push(row);
  console.log(row);
  return row;
}

/** A repository that everybody may clone with the key, on a server that has no part in websites. */
async function theirGit(site: Repository): Promise<string> {
  const address = await openToRoot("db1");
  await mustInServer("db1", "git", "init", "-q", "--bare", "/root/peer.git");
  const url = `root@${address}:/root/peer.git`;
  await execa("git", ["push", "-q", url, "HEAD:refs/heads/main"], { cwd: site.directory, env: { GIT_SSH_COMMAND: ssh() } });
  await mustInServer("db1", "git", "-C", "/root/peer.git", "symbolic-ref", "HEAD", "refs/heads/main");
  await execa("git", ["clone", "-q", url, join(scratch, "clone")], { env: { GIT_SSH_COMMAND: ssh() } });
  return url;
}

function ssh(): string {
  return `ssh -i ${key} -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR`;
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

async function theirs(boxes: number): Promise<void> {
  const names = (await listServers()).filter(({ roles }) => roles.includes("box")).map(({ name }) => name);
  const addresses = await Promise.all(names.map(openToRoot));
  // Ansible wants it, and the servers have none.
  for (const name of names) await inServer(name, ["sh", "-c", "command -v python3 || apt-get install -y -qq python3-minimal"]);
  const settings = {
    BOXES: addresses.join(" "),
    GIT_URL: gitUrl,
    KEY: key,
    CLONE: join(scratch, "clone"),
    FILE: INDEX,
    ROUNDS: String(ROUNDS),
  };
  const { stdout } = await execa("bash", [script ?? ""], { env: settings, stderr: "inherit", timeout: 1_800_000 });
  const runs = stdout
    .split("\n")
    .slice(1)
    .filter((line) => line.includes(","))
    .map((line) => line.split(","));
  for (const [tool, lines] of Map.groupBy(runs, ([name = ""]) => name)) {
    const good = lines.filter(([, , , , , status, correct]) => status === "0" && Number(correct) === boxes);
    const of = (column: number): number => median(good.map((line) => Number(line[column])));
    const row = { tool, boxes, wholeMs: of(2), switchedMs: of(3), spreadMs: of(4), good: `${good.length} of ${lines.length}` };
    rows.push(row);
    console.log(row);
  }
}

/** The same change in a site of many files, on 4 boxes. */
async function manyFiles(): Promise<Row> {
  await boxyardJson("cluster", "scale", "c1", "--boxes", "4");
  await fill(repository, MANY_FILES);
  await repository.commit("many files");
  await must(repository.push(website.gitUrl));
  const row = await ours(`Boxyard, ${MANY_FILES.toLocaleString("en")} files`, 4);
  await removeSite({ website, repository });
  return row;
}

function find(tool: string, boxes: number): number {
  return rows.find((row) => row.tool === tool && row.boxes === boxes)?.switchedMs ?? Number.NaN;
}

async function write(): Promise<void> {
  const ms = (value: number): string =>
    Number.isNaN(value) ? "–" : `${value < 100 ? value.toPrecision(3) : Math.round(value).toLocaleString("en")} ms`;
  const table = rows.map(({ tool, boxes, switchedMs, spreadMs, wholeMs, good }) => {
    return `| ${tool} | ${boxes} | ${ms(switchedMs)} | ${ms(spreadMs)} | ${ms(wholeMs)} | ${good} |`;
  });
  const ratio = (a: number, b: number): string => (Number.isFinite(a / b) ? (a / b).toFixed(2) : "–");
  const mine = find("Boxyard", 4);
  const ratios = [
    ["of the ssh loop, 4 boxes", ratio(mine, find("ssh-loop", 4)), "≤ 0.35"],
    ["of Capistrano, 4 boxes", ratio(mine, find("capistrano", 4)), "≤ 0.12"],
    ["of Ansible, 4 boxes", ratio(mine, find("ansible", 4)), "≤ 0.06"],
    ["8 boxes to 4", ratio(find("Boxyard", 8), mine), "≤ 2.2"],
    [`${MANY_FILES.toLocaleString("en")} files to ${FILES.toLocaleString("en")}`, ratio(many.switchedMs, mine), "≤ 2"],
  ].map((cells) => `| ${cells.join(" | ")} |`);
  const text = [
    "# Deployments against what else one would use",
    "",
    `Taken by \`node test/bench/deploy-peers.ts DEPLOY_PEERS_SH\` on ${new Date().toISOString().slice(0, 10)}: ${cpus().length} × ${cpus()[0]?.model.trim()}, all servers`,
    `on this one machine. A site of ${(FILES + 1).toLocaleString("en")} files, one of them changed. Boxyard counts from the accepted push, its steps all`,
    "included (the boxes and a shell server; both caches' pages banned; every box asked), the others from the start of the command, their push before it not",
    "counted. Medians.",
    "",
    "| tool | boxes | start → last switch | spread | whole command | runs that ended well on all boxes |",
    "|---|---|---|---|---|---|",
    ...table,
    "",
    "| Boxyard's start → last switch, as a share | measured | target |",
    "|---|---|---|",
    ...ratios,
    "",
  ];
  await writeFile("docs/benchmarks-deployments.md", text.join("\n"));
}
