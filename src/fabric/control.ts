import { randomUUID } from "node:crypto";
import {
  AckPolicy,
  DeliverPolicy,
  type JetStreamClient,
  jetstream,
  jetstreamManager,
  RetentionPolicy,
  type StreamConfig,
} from "@nats-io/jetstream";
import { Kvm } from "@nats-io/kv";
import { createInbox, type Msg, type NatsConnection, nanos } from "@nats-io/transport-node";
import type { z } from "zod";
import { timestamp } from "#base/clock.ts";
import { reportFault } from "#base/fault.ts";
import type { Log } from "#base/log.ts";
import type { Action } from "#contract/action.ts";
import { Reply } from "#contract/envelope.ts";
import { Event } from "#contract/events.ts";
import type { ServerName, Timestamp } from "#contract/names.ts";
import { Push } from "#contract/push.ts";
import type { ServerSpec } from "#contract/spec/server.ts";
import { REGISTRY_EXPIRY_MS, ServerStatus } from "#contract/status.ts";
import type { Target } from "#contract/target.ts";
import { type BusOptions, connectBus } from "./connection.ts";
import { Signer } from "./envelope.ts";
import type { Answer, AskOptions, ControlFabric, ReadEventsOptions, StoredEvent } from "./fabric.ts";
import { Request, type Result } from "./request.ts";
import { EVENT_STREAM, PUSH_CONSUMER, PUSH_STREAM, SPEC_BUCKET, subjects } from "./subjects.ts";

export interface ControlFabricOptions extends BusOptions {
  readonly yard: string;
  /** The control server's name, which its events carry. */
  readonly server: ServerName;
  readonly signerPrivatePem: string;
}

/** Joins the bus as the control plane: waits for the broker, and makes the streams and buckets that are missing. */
export async function connectControl(options: ControlFabricOptions): Promise<ControlFabric> {
  const connection = await connectBus(options);
  await ensureStreams(connection);
  const fabric = new ControlEnd(connection, options);
  fabric.start();
  return fabric;
}

/** An envelope is valid a little longer than its action may take, so that a slow broker does not void it. */
const VALIDITY_MARGIN_MS = 10_000;
const DAY_MS = 86_400_000;
/** Taking a push is one row in the database: one that was not acknowledged in this time was lost on the way, and comes again. */
const PUSH_RETURN_MS = 10_000;

class ControlEnd implements ControlFabric {
  readonly #connection: NatsConnection;
  readonly #stream: JetStreamClient;
  readonly #signer: Signer;
  readonly #server: ServerName;
  readonly #log: Log;
  readonly #statuses = new Map<ServerName, ServerStatus>();
  readonly #heardAtMs = new Map<ServerName, number>();
  readonly #lastHeard = new Map<ServerName, Timestamp>();
  readonly #listeners = new Set<() => void>();
  #expiry: NodeJS.Timeout | undefined;

  constructor(connection: NatsConnection, options: ControlFabricOptions) {
    this.#connection = connection;
    this.#stream = jetstream(connection);
    this.#signer = new Signer(options.yard, options.signerPrivatePem);
    this.#server = options.server;
    this.#log = options.log;
  }

  start(): void {
    this.#connection.subscribe(subjects.allStatuses, { callback: (error, message) => void (error === null && this.#heard(message)) });
    this.#expiry = setInterval(() => this.#forgetSilent(), 500);
  }

  async *ask<I extends z.ZodType, O extends z.ZodType>(
    action: Action<I, O>,
    servers: readonly ServerName[],
    input: z.input<I>,
    { timeoutMs = action.timeoutMs, limits = {}, signal, caller = "control", select }: AskOptions = {},
  ): AsyncIterable<Answer<z.output<O>>> {
    const inbox = createInbox(subjects.inboxOf("control"));
    const seal = (target: ServerName | "*"): string => this.#seal(target, action, input, { caller, timeoutMs, select });
    // Whoever decides by itself needs no message of its own: one signature for all.
    const shared = select === undefined ? null : seal("*");
    const send = (server: ServerName): void =>
      this.#connection.publish(subjects.request(server, action.name), shared ?? seal(server), { reply: `${inbox}.${server}` });
    const request = new Request<z.output<O>>({ action: action.name, servers, timeoutMs, limits, send });
    const subscription = this.#connection.subscribe(`${inbox}.*`, {
      callback: (error, message) => {
        const server = message.subject.slice(inbox.length + 1);
        if (error === null) request.settle(server, readReply(action, server, message));
      },
    });
    const cancel = (): void => request.cancel();
    signal?.addEventListener("abort", cancel, { once: true });
    try {
      if (signal?.aborted) cancel();
      else request.start();
      yield* request.answers;
    } finally {
      request.end();
      signal?.removeEventListener("abort", cancel);
      subscription.unsubscribe();
    }
  }

  async askAll<I extends z.ZodType, O extends z.ZodType>(
    action: Action<I, O>,
    servers: readonly ServerName[],
    input: z.input<I>,
    options?: AskOptions,
  ): Promise<Answer<z.output<O>>[]> {
    const answers: Answer<z.output<O>>[] = [];
    for await (const answer of this.ask(action, servers, input, options)) answers.push(answer);
    return answers;
  }

  async putSpec(spec: ServerSpec): Promise<void> {
    const message = this.#signer.seal({
      id: `spec-${spec.generation}`,
      target: spec.server,
      action: "spec",
      body: spec,
      caller: "control",
    });
    await this.#stream.publish(subjects.spec(spec.server), message);
    this.#connection.publish(subjects.nudge(spec.server));
  }

  async forget(server: ServerName): Promise<void> {
    this.#statuses.delete(server);
    this.#heardAtMs.delete(server);
    this.#lastHeard.delete(server);
    await (await new Kvm(this.#connection).open(SPEC_BUCKET)).purge(server);
  }

  registry(): ReadonlyMap<ServerName, ServerStatus> {
    return this.#statuses;
  }

  lastHeard(server: ServerName): Timestamp | null {
    return this.#lastHeard.get(server) ?? null;
  }

  onRegistryChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  async publishEvent(event: Event): Promise<void> {
    await this.#stream.publish(subjects.event(this.#server, event.kind), JSON.stringify(event));
  }

  async *readEvents({ after, last = 0, follow = false }: ReadEventsOptions, signal: AbortSignal): AsyncIterable<StoredEvent> {
    const { state } = await (await this.#stream.jetstreamManager()).streams.info(EVENT_STREAM);
    const first = Math.max(after === undefined ? state.last_seq - last + 1 : after + 1, 1);
    if (!follow && first > state.last_seq) return;
    const consumer = await this.#stream.consumers.get(EVENT_STREAM, {
      deliver_policy: DeliverPolicy.StartSequence,
      opt_start_seq: first,
    });
    const messages = await consumer.consume();
    const stop = (): void => void messages.close();
    signal.addEventListener("abort", stop, { once: true });
    try {
      if (signal.aborted) return;
      for await (const message of messages) {
        const event = Event.safeParse(message.json());
        if (event.success) yield { number: message.seq, event: event.data };
        if (!follow && message.seq >= state.last_seq) return;
      }
    } finally {
      signal.removeEventListener("abort", stop);
      await messages.close();
    }
  }

  async consumePushes(take: (push: Push) => Promise<void>, signal: AbortSignal): Promise<void> {
    const consumer = await this.#stream.consumers.get(PUSH_STREAM, PUSH_CONSUMER);
    const messages = await consumer.consume({ max_messages: 10 });
    signal.addEventListener("abort", () => void messages.close(), { once: true });
    for await (const message of messages) {
      try {
        await take(Push.parse(message.json()));
        message.ack();
      } catch (thrown) {
        this.#log.error({ fault: reportFault(thrown), subject: message.subject }, "push not taken, it comes again");
        message.nak(2_000);
      }
    }
  }

  isConnected(): boolean {
    return !this.#connection.isClosed();
  }

  async close(): Promise<void> {
    clearInterval(this.#expiry);
    await this.#connection.close();
  }

  #seal<I extends z.ZodType>(
    target: ServerName | "*",
    action: Action<I>,
    input: z.input<I>,
    { caller, timeoutMs, select }: { caller: string; timeoutMs: number; select: Target | undefined },
  ): string {
    const validMs = timeoutMs + VALIDITY_MARGIN_MS;
    return this.#signer.seal({ id: randomUUID(), target, action: action.name, body: input, caller, select, validMs });
  }

  #heard(message: Msg): void {
    const status = message.data.length === 0 ? undefined : ServerStatus.safeParse(message.json());
    const server = message.subject.split(".").at(-1) ?? "";
    if (!status?.success || status.data.server !== server) return;
    const before = this.#statuses.get(server);
    this.#statuses.set(server, status.data);
    this.#heardAtMs.set(server, performance.now());
    this.#lastHeard.set(server, timestamp());
    if (before === undefined || hasChanged(before, status.data)) this.#tell();
  }

  #forgetSilent(): void {
    const silentSince = performance.now() - REGISTRY_EXPIRY_MS;
    for (const [server, heardAtMs] of this.#heardAtMs) {
      if (heardAtMs >= silentSince) continue;
      this.#heardAtMs.delete(server);
      this.#statuses.delete(server);
      this.#tell();
    }
  }

  #tell(): void {
    for (const listener of this.#listeners) listener();
  }
}

function readReply<O extends z.ZodType>(action: Action<z.ZodType, O>, server: ServerName, message: Msg): Result<z.output<O>> {
  if (message.headers?.code === 503) return { fault: { code: "fabric.no-server", message: `${server} is not connected`, next: null } };
  const reply = Reply.safeParse(parseJson(message));
  if (!reply.success)
    return { fault: { code: "fabric.malformed", message: `${server} answered ${action.name} with something unreadable`, next: null } };
  if (reply.data.fault !== undefined) return { fault: reply.data.fault };
  const output = action.output.safeParse(reply.data.output);
  if (output.success) return { output: output.data };
  return { fault: { code: "fabric.malformed", message: `${server} answered ${action.name} with another shape than declared`, next: null } };
}

function parseJson(message: Msg): unknown {
  try {
    return message.json();
  } catch {
    return undefined;
  }
}

/** Whether a heartbeat says more than "still there". */
function hasChanged(before: ServerStatus, after: ServerStatus): boolean {
  const essence = ({ generation, targetGeneration, faults, releases, startedAt }: ServerStatus) =>
    JSON.stringify([generation, targetGeneration, faults, releases, startedAt]);
  return essence(before) !== essence(after);
}

async function ensureStreams(connection: NatsConnection): Promise<void> {
  const kvm = new Kvm(connection);
  await kvm.create(SPEC_BUCKET, { history: 1, allow_direct: true });
  const manager = await jetstreamManager(connection);
  const streams: (Partial<StreamConfig> & { readonly name: string })[] = [
    {
      name: EVENT_STREAM,
      subjects: [subjects.allEvents],
      max_age: nanos(30 * DAY_MS),
      max_bytes: 512 * 1024 * 1024,
      duplicate_window: nanos(DAY_MS),
    },
    { name: PUSH_STREAM, subjects: [subjects.allPushes], retention: RetentionPolicy.Workqueue, duplicate_window: nanos(DAY_MS) },
  ];
  for (const stream of streams) {
    const have = await manager.streams.info(stream.name).catch(() => null);
    await (have === null ? manager.streams.add(stream) : manager.streams.update(stream.name, stream));
  }
  const consumer = { durable_name: PUSH_CONSUMER, ack_policy: AckPolicy.Explicit, ack_wait: nanos(PUSH_RETURN_MS), max_deliver: -1 };
  const known = await manager.consumers.info(PUSH_STREAM, PUSH_CONSUMER).catch(() => null);
  if (known === null) await manager.consumers.add(PUSH_STREAM, consumer);
  else if (known.config.ack_wait !== consumer.ack_wait) await manager.consumers.update(PUSH_STREAM, PUSH_CONSUMER, consumer);
}
