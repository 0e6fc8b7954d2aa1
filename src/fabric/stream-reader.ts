import { DeliverPolicy, type JetStreamClient, type JsMsg, type OrderedConsumerOptions } from "@nats-io/jetstream";
import { Fault, reportFault } from "#base/fault.ts";
import type { Log } from "#base/log.ts";
import { type Event, type JobEvent, type RefusedEvent, readEvent } from "#contract/events.ts";
import type { ServerName } from "#contract/names.ts";
import { Push } from "#contract/push.ts";
import type { ReadEventsOptions, StoredEvent } from "./fabric.ts";
import { jsonOf } from "./listen.ts";
import { replicasAreCurrent, streamInfo } from "./replicas.ts";
import { EVENT_STREAM, PUSH_CONSUMER, PUSH_STREAM, REFUSAL_CONSUMER, subjects } from "./subjects.ts";

export interface StreamReaderOptions {
  readonly stream: JetStreamClient;
  /** Control servers: what they tell of deployments and servers counts. */
  readonly controls: ReadonlySet<ServerName>;
  readonly log: Log;
}

const PULL_MS = 4_000;
const READ_TIMEOUT_MS = 30_000;

interface Consuming<T> {
  readonly stream: string;
  readonly name: string;
  readonly read: (message: JsMsg) => T | undefined;
  readonly take: (value: T) => Promise<void>;
}

/** Reads the streams of events and pushes, as ControlFabric promises. */
export class StreamReader {
  readonly #stream: JetStreamClient;
  readonly #controls: ReadonlySet<ServerName>;
  readonly #log: Log;

  constructor({ stream, controls, log }: StreamReaderOptions) {
    this.#stream = stream;
    this.#controls = controls;
    this.#log = log;
  }

  async *readEvents({ after, last = 0, follow = false, job }: ReadEventsOptions, signal: AbortSignal): AsyncIterable<StoredEvent> {
    // The last event of a job has no number that is known before: then all brokers should have what the first has.
    const { state } = await answered((job === undefined ? streamInfo : replicasAreCurrent)(this.#stream, EVENT_STREAM));
    const first = Math.max(after === undefined ? (job === undefined ? state.last_seq - last + 1 : 0) : after + 1, state.first_seq, 1);
    const options = {
      deliver_policy: DeliverPolicy.StartSequence,
      opt_start_seq: first,
      filter_subjects: job === undefined ? subjects.allEvents : subjects.jobEvents(job),
    };
    const until = job === undefined ? state.last_seq : undefined;
    if (follow || first <= state.last_seq) yield* this.#readStream(options, { follow, signal, until });
  }

  async listJobs(): Promise<JobEvent[]> {
    const options = { deliver_policy: DeliverPolicy.LastPerSubject, filter_subjects: subjects.jobEvents("*") };
    const jobs: JobEvent[] = [];
    await answered(replicasAreCurrent(this.#stream, EVENT_STREAM));
    const reading = { follow: false, signal: AbortSignal.timeout(READ_TIMEOUT_MS) };
    for await (const { event } of this.#readStream(options, reading)) if (event.kind === "job") jobs.push(event);
    return jobs;
  }

  /**
   * What stands in the stream of events, up to the newest or on with what comes; events that speak for another server are
   * left out. It is read from one of the brokers, which may not have the newest yet that others have: `until` names it.
   */
  async *#readStream(
    options: Partial<OrderedConsumerOptions>,
    { follow, signal, until: last }: { readonly follow: boolean; readonly signal: AbortSignal; readonly until?: number | undefined },
  ): AsyncIterable<StoredEvent> {
    const consumer = await answered(this.#stream.consumers.get(EVENT_STREAM, options));
    if (!follow && last === undefined && (await consumer.info()).num_pending === 0) return;
    const messages = await consumer.consume();
    const stop = (): void => void messages.close();
    signal.addEventListener("abort", stop, { once: true });
    try {
      if (signal.aborted) return;
      for await (const message of messages) {
        const event = readEvent(jsonOf(message));
        if (event !== null && this.#isOf(event, message.subject)) yield { number: message.seq, event };
        if (!follow && (last === undefined ? message.info.pending === 0 : message.seq >= last)) return;
      }
    } finally {
      signal.removeEventListener("abort", stop);
      await messages.close();
    }
  }

  /** What stands under a server's name must be of itself. */
  #isOf(event: Event, subject: string): boolean {
    const emitter = subject.split(".")[1] ?? "";
    return this.#controls.has(emitter) || (event.kind !== "deployment" && emitter === event.server);
  }

  consumePushes(take: (push: Push) => Promise<void>, signal: AbortSignal): Promise<void> {
    const read = (message: JsMsg): Push | undefined => {
      const push = Push.safeParse(jsonOf(message));
      return push.success && message.subject === subjects.push(push.data.server, push.data.website) ? push.data : undefined;
    };
    return this.#consume({ stream: PUSH_STREAM, name: PUSH_CONSUMER, read, take }, signal);
  }

  consumeRefusals(take: (refused: RefusedEvent) => Promise<void>, signal: AbortSignal): Promise<void> {
    const read = (message: JsMsg): RefusedEvent | undefined => {
      const event = readEvent(jsonOf(message));
      return event?.kind === "refused" && this.#isOf(event, message.subject) ? event : undefined;
    };
    return this.#consume({ stream: EVENT_STREAM, name: REFUSAL_CONSUMER, read, take }, signal);
  }

  /** Hands over what stands in a stream, each until it is taken. What cannot be read will not become readable by coming again: it goes. */
  async #consume<T>({ stream, name, read, take }: Consuming<T>, signal: AbortSignal): Promise<void> {
    const consumer = await this.#stream.consumers.get(stream, name);
    // A broker that leads has died when it has said nothing for two halves of this; then another one is asked.
    const messages = await consumer.consume({ max_messages: 10, expires: PULL_MS });
    const stop = (): void => void messages.close();
    signal.addEventListener("abort", stop, { once: true });
    if (signal.aborted) stop();
    for await (const message of messages) {
      const value = read(message);
      if (value === undefined) {
        this.#log.warn({ subject: message.subject, bytes: message.data.length }, "unreadable, it is left out");
        message.term();
        continue;
      }
      try {
        await take(value);
        message.ack();
      } catch (thrown) {
        this.#log.error({ fault: reportFault(thrown), subject: message.subject }, "not taken, it comes again");
        message.nak(2_000);
      }
    }
  }
}

/** What the brokers say of a stream; while no majority of them is there they say nothing. */
function answered<T>(asked: Promise<T>): Promise<T> {
  return asked.catch((cause: unknown) => {
    const next = "boxyard status says which broker is missing; what is told meanwhile waits on the servers' disks";
    throw new Fault("fabric.no-streams", "the brokers cannot say at present what is in the streams", { next, cause });
  });
}
