import { setTimeout as sleep } from "node:timers/promises";
import type { JetStreamClient, StreamInfo } from "@nats-io/jetstream";

const CATCH_UP_MS = 5_000;
const LOOK_MS = 100;

/** How a stream is, as the broker knows it that leads it; waits a while for brokers that are there and have not all of it yet. */
export async function replicasAreCurrent(client: JetStreamClient, stream: string): Promise<StreamInfo> {
  const manager = await client.jetstreamManager();
  const deadline = performance.now() + CATCH_UP_MS;
  for (;;) {
    const info = await manager.streams.info(stream);
    const behind = info.cluster?.replicas?.filter(({ current, offline, lag }) => !offline && (!current || (lag ?? 0) > 0)) ?? [];
    if (behind.length === 0 || performance.now() > deadline) return info;
    await sleep(LOOK_MS);
  }
}
