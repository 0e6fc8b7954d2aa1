import { setTimeout as sleep } from "node:timers/promises";
import { AckPolicy, type JetStreamManager, jetstreamManager, RetentionPolicy, type StreamConfig } from "@nats-io/jetstream";
import { type NatsConnection, nanos } from "@nats-io/transport-node";
import { reportFault } from "#base/fault.ts";
import type { Log } from "#base/log.ts";
import { EVENT_STREAM, FORMER_SPEC_STREAM, PUSH_CONSUMER, PUSH_STREAM, REFUSAL_CONSUMER, subjects } from "./subjects.ts";

/** On as many brokers as there are in a cluster. */
const REPLICAS = 3;
const DAY_MS = 86_400_000;
const MOST_EVENT_BYTES = 256 * 1024;
/** Taking a push or a refusal is one row in the database: one that was not acknowledged in this time was lost on the way, and comes again. */
const RETURN_MS = 10_000;

export interface MakeOptions {
  readonly log: Log;
  /** Ends the attempts. */
  readonly signal: AbortSignal;
}

const AGAIN_MS = 500;

/**
 * Makes the streams and durable consumers that the broker lacks, and brings the others to their present settings; as soon as it
 * can store. Resolves when all are there, or when the signal aborts.
 */
export async function makeStreams(connection: NatsConnection, { log, signal }: MakeOptions): Promise<void> {
  for (let attempt = 1; !signal.aborted; attempt++) {
    try {
      await ensureStreams(connection);
      if (attempt > 1) log.info("the broker stores");
      return;
    } catch (thrown) {
      if (attempt === 1) log.warn({ fault: reportFault(thrown) }, "the broker does not store yet");
      await sleep(AGAIN_MS, undefined, { signal }).catch(() => undefined);
    }
  }
}

async function ensureStreams(connection: NatsConnection): Promise<void> {
  const num_replicas = connection.info?.cluster === undefined ? 1 : REPLICAS;
  const manager = await jetstreamManager(connection);
  if ((await manager.streams.info(FORMER_SPEC_STREAM).catch(() => null)) !== null) await manager.streams.delete(FORMER_SPEC_STREAM);
  const streams: (Partial<StreamConfig> & { readonly name: string })[] = [
    {
      name: EVENT_STREAM,
      subjects: [subjects.allEvents],
      max_age: nanos(30 * DAY_MS),
      max_bytes: 512 * 1024 * 1024,
      max_msg_size: MOST_EVENT_BYTES,
      duplicate_window: nanos(DAY_MS),
    },
    { name: PUSH_STREAM, subjects: [subjects.allPushes], retention: RetentionPolicy.Workqueue, duplicate_window: nanos(DAY_MS) },
  ];
  for (const stream of streams) {
    const have = await manager.streams.info(stream.name).catch(() => null);
    const wanted = { ...stream, num_replicas };
    await (have === null ? manager.streams.add(wanted) : manager.streams.update(stream.name, wanted));
  }
  await ensureConsumer(manager, PUSH_STREAM, { durable_name: PUSH_CONSUMER });
  await ensureConsumer(manager, EVENT_STREAM, { durable_name: REFUSAL_CONSUMER, filter_subject: subjects.refusals });
}

async function ensureConsumer(
  manager: JetStreamManager,
  stream: string,
  { durable_name, ...rest }: { readonly durable_name: string; readonly filter_subject?: string },
): Promise<void> {
  const wanted = { durable_name, ...rest, ack_policy: AckPolicy.Explicit, ack_wait: nanos(RETURN_MS), max_deliver: -1 };
  const known = await manager.consumers.info(stream, durable_name).catch(() => null);
  if (known === null) await manager.consumers.add(stream, wanted);
  else if (known.config.ack_wait !== wanted.ack_wait) await manager.consumers.update(stream, durable_name, wanted);
}
