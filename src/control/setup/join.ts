import { mkdir, readdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { writeFileAtomic } from "#base/atomic-file.ts";
import type { Log } from "#base/log.ts";
import { until } from "#base/retry.ts";
import type { ControlConfig } from "#contract/control-config.ts";
import { BROKER_STORE } from "#fabric/broker-config.ts";
import { connectBus } from "#fabric/connection.ts";
import { credentialsForControl } from "#fabric/identity.ts";
import { listStreams, restoreStream, saveStream } from "#fabric/stream-copies.ts";
import { brokerUrls, controlServers, readBusMembers, writeBusMembers } from "../brokers/members.ts";
import type { Secrets } from "../secrets.ts";
import { ensureBroker, HIDDEN_PORT, stopBroker } from "./broker.ts";
import { isThere } from "./file.ts";

/** What the broker held while it was alone, until the three of them hold it. */
const COPIES = "/var/lib/boxyard/broker-copies";
const ALL_THERE = join(COPIES, "complete");
/** The files of the broker that was alone. */
const STREAMS = join(BROKER_STORE, "jetstream");
const OLD_STREAMS = "/var/lib/boxyard/broker-alone";
const LOOK_MS = 3_000;
const READY_MS = 60_000;

/** The broker of the control server, alone or, as soon as the others of three are there, one of them. May be broken off anywhere and run again. */
export async function setUpBroker(config: ControlConfig, secrets: Secrets, log: Log): Promise<void> {
  const wanted = controlServers(config);
  const isJoined = (await readBusMembers(config)).length === 3;
  if (wanted.length === 1 || isJoined) return ensureBroker(config, secrets, isJoined ? "joined" : "alone");
  const hasCopies = await isThere(ALL_THERE);
  if (!hasCopies && !(await areOthersThere(config, secrets, log))) {
    log.warn({ brokers: wanted.slice(1) }, "the other brokers are not there yet: the one here goes on alone");
    return ensureBroker(config, secrets, "alone");
  }
  if (!hasCopies) await saveStreams(config, secrets, log);
  await joinOthers(config, secrets);
  await restoreStreams(config, secrets, log);
  await writeBusMembers(wanted);
  await rm(COPIES, { recursive: true, force: true });
  await rm(OLD_STREAMS, { recursive: true, force: true });
  log.info("the broker has joined the others");
}

/** Whether both answer as brokers of this yard. */
async function areOthersThere(config: ControlConfig, secrets: Secrets, log: Log): Promise<boolean> {
  const looks = controlServers(config)
    .slice(1)
    .map((member) => withBus(secrets, { brokers: brokerUrls([member]), log, onceMs: LOOK_MS }, async () => true).catch(() => false));
  return (await Promise.all(looks)).every(Boolean);
}

/** Nobody writes meanwhile, since nobody finds the broker: what servers have to say waits where it was made. */
async function saveStreams(config: ControlConfig, secrets: Secrets, log: Log): Promise<void> {
  await rm(COPIES, { recursive: true, force: true });
  await mkdir(COPIES, { recursive: true, mode: 0o700 });
  await ensureBroker(config, secrets, "hidden");
  await withBus(secrets, { brokers: [`tls://${config.address}:${HIDDEN_PORT}`], log }, async (connection) => {
    const streams = await until("the broker's streams", () => listStreams(connection, LOOK_MS), { timeoutMs: READY_MS });
    for (const stream of streams) await saveStream(connection, stream, join(COPIES, stream));
    log.info({ streams }, "streams copied");
  });
  await writeFileAtomic(ALL_THERE, "");
}

/** A broker that joins others must not bring streams of its own: it would take them for leftovers, and remove them in its time. */
async function joinOthers(config: ControlConfig, secrets: Secrets): Promise<void> {
  if (!(await isThere(OLD_STREAMS))) {
    await stopBroker();
    if (await isThere(STREAMS)) await rename(STREAMS, OLD_STREAMS);
  }
  await ensureBroker(config, secrets, "joined");
}

async function restoreStreams(config: ControlConfig, secrets: Secrets, log: Log): Promise<void> {
  await withBus(secrets, { brokers: brokerUrls(controlServers(config).slice(0, 1)), log }, async (connection) => {
    const copies = (await readdir(COPIES)).filter((name) => name.endsWith(".json")).map((name) => name.replace(/\.json$/, ""));
    // Three brokers that have just met know each other, and who leads, only after a while.
    const restore = (stream: string) => async (): Promise<true> => {
      await listStreams(connection, LOOK_MS);
      await restoreStream(connection, join(COPIES, stream), { replicas: 3 });
      return true;
    };
    for (const stream of copies) await until(`three brokers to take ${stream}`, restore(stream), { timeoutMs: READY_MS });
    log.info({ streams: copies }, "streams restored on three brokers");
  });
}

async function withBus<T>(
  { keys, authority }: Secrets,
  bus: { readonly brokers: readonly string[]; readonly log: Log; readonly onceMs?: number },
  work: (connection: Awaited<ReturnType<typeof connectBus>>) => Promise<T>,
): Promise<T> {
  const connection = await connectBus({
    ...bus,
    credentials: await credentialsForControl(keys),
    caPem: authority.certificatePem,
    name: "setup",
  });
  try {
    return await work(connection);
  } finally {
    await connection.close();
  }
}
