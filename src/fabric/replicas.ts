import { setTimeout as sleep } from "node:timers/promises";
import type { JetStreamClient, StreamInfo } from "@nats-io/jetstream";

/** A broker that has just died is taken for one that is behind for some seconds. */
const CATCH_UP_MS = 2_000;
const LOOK_MS = 100;

/** How a stream is, as the broker knows it that leads it. */
export async function streamInfo(client: JetStreamClient, stream: string): Promise<StreamInfo> {
  return (await client.jetstreamManager()).streams.info(stream);
}

/** The same; waits a while for brokers that are there and have not all of it yet. */
export async function replicasAreCurrent(client: JetStreamClient, stream: string): Promise<StreamInfo> {
  const deadline = performance.now() + CATCH_UP_MS;
  for (;;) {
    const info = await streamInfo(client, stream);
    const behind = info.cluster?.replicas?.filter(({ current, offline, lag }) => !offline && (!current || (lag ?? 0) > 0)) ?? [];
    if (behind.length === 0 || performance.now() > deadline) return info;
    await sleep(LOOK_MS);
  }
}
