/**
 * How the fabric grows: 100, 1,000 and 10,000 emulated agents on a broker of their own, against plain NATS responders with
 * the same connections and the same bytes; and 50 of which each is a process of its own that sleeps between requests, as on
 * servers: `node test/bench/fabric.ts [sizes…]`. Writes docs/benchmarks-fabric.md.
 */
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { readFile, writeFile } from "node:fs/promises";
import { cpus, totalmem } from "node:os";
import { setTimeout as sleep } from "node:timers/promises";
import { createInbox, type NatsConnection } from "@nats-io/transport-node";
import { ping } from "#contract/actions/server.ts";
import { startBroker, type TestBroker } from "#harness/broker.ts";
import type { Order } from "./emulated-agents.ts";
import { median, PING_REPLY, repeat, timed } from "./measure.ts";

/** Few agents are asked more often: what a figure says is to rest on many answers, from code that is compiled. */
const LEAST_ROUNDS = 7;
const LEAST_ANSWERS = 10_000;
const PROCESSES = 2;
/** Of those that are processes of their own, and sleep between requests. */
const SLEEPING_ROUNDS = 40;
const SLEEP_MS = 1_000;
const IDLE_MS = 10_000;
const sizes = process.argv.length > 2 ? process.argv.slice(2).map(Number) : [100, 1_000, 10_000];

/** How many are asked, in how many processes, and what passes between two requests. */
interface Setting {
  readonly size: number;
  readonly processes: number;
  readonly sleepMs: number;
}

const settings: readonly Setting[] = [
  ...sizes.map((size) => ({ size, processes: PROCESSES, sleepMs: 0 })),
  { size: 50, processes: 50, sleepMs: SLEEP_MS },
];

interface Figures extends Setting {
  readonly connectMs: number;
  readonly firstMs: number;
  readonly lastMs: number;
  readonly plainMs: number;
  /** Processor time of each answer, in microseconds. */
  readonly cpuUs: CpuTimes;
  readonly plainCpuUs: CpuTimes;
  readonly brokerMegabytes: number;
  readonly idleBrokerPercent: number;
  readonly idleControlPercent: number;
}

interface CpuTimes {
  readonly control: number;
  readonly broker: number;
  readonly agents: number;
}

interface Joined {
  readonly broker: TestBroker;
  readonly connectMs: number;
  /** What each part has taken of the processor so far, in seconds. */
  readonly cpuSeconds: () => Promise<CpuTimes>;
}

const figures: Figures[] = [];
for (const setting of settings) {
  figures.push(await measure(setting));
  console.log(figures.at(-1));
}
await write();

async function measure(setting: Setting): Promise<Figures> {
  const { size } = setting;
  const servers = Array.from({ length: size }, (_, index) => `c${1 + Math.floor(index / 50)}b${1 + (index % 50)}`);
  const plain = await withAgents("plain", { servers, ...setting }, async ({ broker, cpuSeconds }) => {
    const connection = await broker.connectPlainly();
    return rounds(setting, cpuSeconds, () => askPlainly(connection, servers));
  });
  return withAgents("agents", { servers, ...setting }, async ({ broker, connectMs, cpuSeconds }) => {
    const control = await broker.joinAsControl();
    const first: number[] = [];
    const asked = await rounds(setting, cpuSeconds, async () => {
      const startedAt = performance.now();
      let answered = 0;
      for await (const { fault } of control.ask(ping, servers, {}, { timeoutMs: 30_000, select: { kind: "all" } })) {
        if (fault !== undefined) throw new Error(fault.message);
        if (answered++ === 0) first.push(performance.now() - startedAt);
      }
    });
    const idle = await idleLoad(broker.pid());
    return {
      ...setting,
      connectMs,
      firstMs: median(first),
      lastMs: asked.medianMs,
      plainMs: plain.medianMs,
      cpuUs: asked.cpuUs,
      plainCpuUs: plain.cpuUs,
      brokerMegabytes: await memoryOf(broker.pid()),
      ...idle,
    };
  });
}

/** A broker, and agents that have joined it; all end with `work`. */
async function withAgents<T>(
  kind: Order["kind"],
  { servers, processes: count }: Setting & { readonly servers: readonly string[] },
  work: (joined: Joined) => Promise<T>,
): Promise<T> {
  const broker = await startBroker();
  const enrolment = await broker.enrolmentOf("c1b1");
  const startedAt = performance.now();
  const processes = Array.from({ length: count }, (_, index) => {
    const child = fork(new URL("./emulated-agents.ts", import.meta.url), { stdio: ["ignore", "inherit", "inherit", "ipc"] });
    const share = servers.filter((_, at) => at % count === index);
    child.send({ kind, servers: share, keys: broker.keys, enrolment, bytes: PING_REPLY } satisfies Order);
    return child;
  });
  try {
    await Promise.all(processes.map((child) => once(child, "message")));
    const connectMs = performance.now() - startedAt;
    const pids = processes.map(({ pid = 0 }) => pid);
    return await work({ broker, connectMs, cpuSeconds: () => cpuTimes(broker.pid(), pids) });
  } finally {
    await Promise.all(processes.map(endProcess));
    await broker.stop();
  }
}

/** The limit: one message to each, one answer from each, and nothing looked at. */
async function askPlainly(connection: NatsConnection, servers: readonly string[]): Promise<void> {
  const inbox = createInbox("_INBOX_control");
  await new Promise<void>((resolve) => {
    let missing = servers.length;
    const callback = (): void => {
      if (--missing === 0) resolve();
    };
    connection.subscribe(`${inbox}.*`, { callback, max: servers.length });
    for (const server of servers) connection.publish(`request.${server}.server.ping`, PING_REPLY, { reply: `${inbox}.${server}` });
  });
}

/** Asks as often as the size wants; a quarter of that before warms everything up and does not count. */
async function rounds(
  { size, sleepMs }: Setting,
  cpuSeconds: Joined["cpuSeconds"],
  once: () => Promise<void>,
): Promise<{ readonly medianMs: number; readonly cpuUs: CpuTimes }> {
  const count = sleepMs > 0 ? SLEEPING_ROUNDS : Math.max(LEAST_ROUNDS, Math.ceil(LEAST_ANSWERS / size));
  for (let round = 0; round < Math.ceil(count / 4); round++) await once();
  const before = await cpuSeconds();
  const times = await repeat(count, async () => {
    if (sleepMs > 0) await sleep(sleepMs);
    return timed(once);
  });
  const after = await cpuSeconds();
  const perAnswer = (part: keyof CpuTimes): number => ((after[part] - before[part]) * 1e6) / (count * size);
  return { medianMs: median(times), cpuUs: { control: perAnswer("control"), broker: perAnswer("broker"), agents: perAnswer("agents") } };
}

/** This process is control. */
async function cpuTimes(broker: number, agents: readonly number[]): Promise<CpuTimes> {
  const { user, system } = process.cpuUsage();
  const ofAgents = await Promise.all(agents.map(cpuSeconds));
  return { control: (user + system) / 1e6, broker: await cpuSeconds(broker), agents: ofAgents.reduce((sum, one) => sum + one, 0) };
}

/** What heartbeats alone cost, in percent of one core. */
async function idleLoad(pid: number): Promise<{ idleBrokerPercent: number; idleControlPercent: number }> {
  const [broker, own] = [await cpuSeconds(pid), process.cpuUsage()];
  await sleep(IDLE_MS);
  const { user, system } = process.cpuUsage(own);
  return {
    idleBrokerPercent: (((await cpuSeconds(pid)) - broker) / (IDLE_MS / 1000)) * 100,
    idleControlPercent: ((user + system) / 1000 / IDLE_MS) * 100,
  };
}

async function cpuSeconds(pid: number): Promise<number> {
  const fields = (await readFile(`/proc/${pid}/stat`, "utf8")).replace(/^.*\) /s, "").split(" ");
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

async function memoryOf(pid: number): Promise<number> {
  const text = await readFile(`/proc/${pid}/smaps_rollup`, "utf8");
  return Number(/^Pss:\s+(\d+)/m.exec(text)?.[1]) / 1024;
}

async function endProcess(child: ChildProcess): Promise<void> {
  const ended = once(child, "exit");
  child.kill("SIGKILL");
  await ended;
}

function titleOf({ size, processes }: Setting): string {
  return size === processes ? `${size}, each a process` : size.toLocaleString("en");
}

function sumOf({ control, broker, agents }: CpuTimes): number {
  return control + broker + agents;
}

function besidePlain(own: number, plain: number): string {
  return `${own.toFixed(0)} µs (plain ${plain.toFixed(0)})`;
}

async function write(): Promise<void> {
  const machine = `${cpus().length} × ${cpus()[0]?.model.trim()}, ${Math.round(totalmem() / 2 ** 30)} GiB`;
  const row = (title: string, show: (one: Figures) => string): string => `| ${title} | ${figures.map(show).join(" | ")} |`;
  await writeFile(
    "docs/benchmarks-fabric.md",
    [
      "# Figures of the fabric",
      "",
      `Taken by \`node test/bench/fabric.ts\` on ${new Date().toISOString().slice(0, 10)}: ${machine}; broker, agents and control on this one machine.`,
      `Agents are emulated in ${PROCESSES} processes, in the last column each in one of its own, asked once a second: real TLS connections, identities, signatures, validation and heartbeats; only roles are absent.`,
      `"Plain" is the limit: as many connections of the NATS library that answer the same bytes, with nothing signed or looked at.`,
      `Medians of ${LEAST_ROUNDS} rounds at least, of ${LEAST_ANSWERS.toLocaleString("en")} answers at least, after a quarter as many that do not count. CPU includes the heartbeats of that time.`,
      "",
      `| agents | ${figures.map(titleOf).join(" | ")} |`,
      `|---|${figures.map(() => "---|").join("")}`,
      row("request → first answer", ({ firstMs }) => `${firstMs.toFixed(1)} ms`),
      row("request → last answer", ({ lastMs }) => `${lastMs.toFixed(0)} ms`),
      row("the same, plain", ({ plainMs }) => `${plainMs.toFixed(0)} ms`),
      row("ratio", ({ lastMs, plainMs }) => (lastMs / plainMs).toFixed(2)),
      row("answers per second", ({ size, lastMs }) => ((size / lastMs) * 1000).toFixed(0)),
      row("CPU per answer: control", ({ cpuUs, plainCpuUs }) => besidePlain(cpuUs.control, plainCpuUs.control)),
      row("broker", ({ cpuUs, plainCpuUs }) => besidePlain(cpuUs.broker, plainCpuUs.broker)),
      row("agents", ({ cpuUs, plainCpuUs }) => besidePlain(cpuUs.agents, plainCpuUs.agents)),
      row("all of them", ({ cpuUs, plainCpuUs }) => besidePlain(sumOf(cpuUs), sumOf(plainCpuUs))),
      row("broker's memory (PSS)", ({ brokerMegabytes }) => `${brokerMegabytes.toFixed(0)} MB`),
      row("all connected after", ({ connectMs }) => `${(connectMs / 1000).toFixed(1)} s`),
      row("idle: broker's share of a core", ({ idleBrokerPercent }) => `${idleBrokerPercent.toFixed(1)} %`),
      row("idle: control's share of a core", ({ idleControlPercent }) => `${idleControlPercent.toFixed(1)} %`),
      "",
      "What it is to be: 250 ms for 1,000, 2.5 s for 10,000, and three times plain at most. The greatest part of what is above plain are the agents'",
      "signature checks (about 0.06 ms each), which here share two cores, and in a yard have a server each.",
      "",
    ].join("\n"),
  );
}
