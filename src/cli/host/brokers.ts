import { Fault } from "#base/fault.ts";
import { until } from "#base/retry.ts";
import type { Cloud } from "#cloud/driver.ts";
import { BUS_MEMBERS_PATH, BusMembers, CONTROL_CONFIG_PATH, ControlConfig, type ControlReplicas } from "#contract/control-config.ts";

/** The control server that is made first, by the host; the others are made by control. */
export const CONTROL_SERVER = "control1";
const OTHERS = ["control2", "control3"];
export const CONTROL_SERVERS: readonly string[] = [CONTROL_SERVER, ...OTHERS];
const CREATION_MS = 300_000;
const JOIN_MS = 240_000;

export interface BrokersWant {
  readonly cloud: Cloud;
  readonly replicas: ControlReplicas;
  readonly note: (text: string) => void;
}

/**
 * The bus is carried by one broker or by three. From one to three: control makes two servers with brokers, then the first
 * broker's streams are copied into the three, while what servers have to say waits where it was made.
 */
export async function ensureBrokers({ cloud, replicas, note }: BrokersWant): Promise<void> {
  if (replicas === 1) return note("one");
  await ensureSetting(cloud, replicas);
  if ((await readMembers(cloud)) < replicas) {
    note("making two more servers");
    for (const server of OTHERS) await brokerRuns(cloud, server);
    note("the bus moves from one broker to three");
    await joinThem(cloud);
  }
  note("three");
}

/** Control reads its configuration when it starts. */
async function ensureSetting(cloud: Cloud, replicas: ControlReplicas): Promise<void> {
  const text = new TextDecoder().decode((await cloud.readFile(CONTROL_SERVER, CONTROL_CONFIG_PATH)) ?? new Uint8Array());
  const config = ControlConfig.parse(JSON.parse(text));
  if (config.replicas === replicas) return;
  await cloud.writeFile(CONTROL_SERVER, {
    path: CONTROL_CONFIG_PATH,
    mode: 0o600,
    content: JSON.stringify({ ...config, replicas }, null, 2),
  });
  await must(cloud, ["chown", "boxyard:boxyard", CONTROL_CONFIG_PATH]);
  await must(cloud, ["systemctl", "restart", "boxyard-control"]);
}

/** Waits until control has made the server and its broker runs. */
export async function brokerRuns(cloud: Cloud, server: string): Promise<void> {
  const isRunning = async (): Promise<true | null> => {
    const { exitCode } = await cloud.execute(server, ["systemctl", "is-active", "--quiet", "nats-server"]);
    return exitCode === 0 ? true : null;
  };
  await until(`the broker on ${server}`, isRunning, { timeoutMs: CREATION_MS, everyMs: 1_000 });
}

async function joinThem(cloud: Cloud): Promise<void> {
  await must(cloud, ["systemctl", "stop", "boxyard-control"]);
  try {
    await must(cloud, ["systemctl", "restart", "boxyard-control-setup"]);
  } finally {
    await must(cloud, ["systemctl", "start", "boxyard-control"]);
  }
  if ((await readMembers(cloud)) === 3) return;
  const { stdout } = await cloud.execute(CONTROL_SERVER, [
    "journalctl",
    "-u",
    "boxyard-control-setup",
    "-n",
    "10",
    "-o",
    "cat",
    "--no-pager",
  ]);
  throw new Fault(
    "yard.brokers-apart",
    `the broker of ${CONTROL_SERVER} has not joined the others and goes on alone; it last said:\n${stdout.trim()}`,
    {
      next: "run bin/up again when all control servers are ready",
    },
  );
}

/** How many brokers are the bus. */
async function readMembers(cloud: Cloud): Promise<number> {
  const bytes = await cloud.readFile(CONTROL_SERVER, BUS_MEMBERS_PATH);
  return bytes === null ? 1 : BusMembers.parse(JSON.parse(new TextDecoder().decode(bytes))).length;
}

async function must(cloud: Cloud, argv: readonly [string, ...string[]]): Promise<void> {
  const { exitCode, stderr } = await cloud.execute(CONTROL_SERVER, argv, { timeoutMs: JOIN_MS });
  if (exitCode !== 0)
    throw new Fault("yard.brokers-apart", `${argv.join(" ")} on ${CONTROL_SERVER} failed: ${stderr.trim()}`, { next: "run bin/up again" });
}
