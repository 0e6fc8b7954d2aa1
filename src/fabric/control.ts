import { randomUUID } from "node:crypto";
import { join } from "node:path";
import { DeliverPolicy, type JetStreamClient, type JsMsg, jetstream, type OrderedConsumerOptions } from "@nats-io/jetstream";
import type { Msg, NatsConnection, Subscription } from "@nats-io/transport-node";
import type { z } from "zod";
import { microsOf, nowMicros, timestamp } from "#base/clock.ts";
import { type FaultReport, reportFault } from "#base/fault.ts";
import type { Log } from "#base/log.ts";
import { until } from "#base/retry.ts";
import { type Action, isJob, isStream, type StreamAction } from "#contract/action.ts";
import { endRequest } from "#contract/actions/request.ts";
import { Reply } from "#contract/envelope.ts";
import { Event, type JobEvent, type RefusedEvent } from "#contract/events.ts";
import type { ServerName, Timestamp } from "#contract/names.ts";
import { Push } from "#contract/push.ts";
import type { ServerSpec } from "#contract/spec/server.ts";
import { GAP_MS, REGISTRY_EXPIRY_MS, ServerStatus } from "#contract/status.ts";
import type { Target } from "#contract/target.ts";
import { type BusOptions, connectBus } from "./connection.ts";
import { Signer } from "./envelope.ts";
import { type EventSpool, openEventSpool } from "./event-spool.ts";
import type { Answer, AskOptions, ControlFabric, Part, ReadEventsOptions, StoredEvent } from "./fabric.ts";
import { Intake } from "./intake.ts";
import { jsonOf, listen } from "./listen.ts";
import { Repeater } from "./repeater.ts";
import { replicasAreCurrent, streamInfo } from "./replicas.ts";
import { ReplyAddresses } from "./reply-addresses.ts";
import { Request, type Result } from "./request.ts";
import { Recipients, sealTo } from "./sealing.ts";
import { StreamWriter } from "./stream-writer.ts";
import { ensureStreams } from "./streams.ts";
import { EVENT_STREAM, eventSubject, PUSH_CONSUMER, PUSH_STREAM, REFUSAL_CONSUMER, subjects } from "./subjects.ts";

export interface ControlFabricOptions extends BusOptions {
  readonly yard: string;
  /** The control server's name, which its events carry. */
  readonly server: ServerName;
  /** Others that may have led before, and whose events count as well. */
  readonly formerly?: readonly ServerName[];
  /** Of this lead, for what it signs. */
  readonly term?: number;
  readonly signerPrivatePem: string;
  /** Where the process keeps what must outlive it: events that wait for the broker. */
  readonly directory: string;
}

/** Joins the bus as the control plane: waits for the broker, and makes the streams and buckets that are missing. */
export async function connectControl(options: ControlFabricOptions): Promise<ControlFabric> {
  const connection = await connectBus(options);
  // Brokers that have just started choose who leads first.
  await until("the broker to store", () => ensureStreams(connection).then(() => true), { timeoutMs: START_MS });
  const fabric = new ControlEnd(connection, options);
  fabric.start();
  return fabric;
}

/** An envelope is valid a little longer than its action may take, so that a slow broker does not void it. */
const VALIDITY_MARGIN_MS = 10_000;
const START_MS = 60_000;
const PULL_MS = 4_000;
const READ_TIMEOUT_MS = 30_000;
/** Far more than a server has to say of itself; one in wrong hands must not fill control's memory. */
const MOST_STATUS_BYTES = 256 * 1024;

interface Consuming<T> {
  readonly stream: string;
  readonly name: string;
  readonly read: (message: JsMsg) => T | undefined;
  readonly take: (value: T) => Promise<void>;
}

// What answers carry is nothing to who waits for silent servers.
type LongRequest = Pick<Request<never>, "underWay" | "settle">;

class ControlEnd implements ControlFabric {
  readonly #connection: NatsConnection;
  readonly #stream: JetStreamClient;
  readonly #signer: Signer;
  /** Control servers: what they tell of deployments and servers counts. */
  readonly #controls: ReadonlySet<ServerName>;
  readonly #recipients: Recipients;
  readonly #log: Log;
  readonly #statuses = new Map<ServerName, ServerStatus>();
  readonly #heardAtMs = new Map<ServerName, number>();
  readonly #lastHeard = new Map<ServerName, Timestamp>();
  readonly #heardSince = new Map<ServerName, Timestamp>();
  /** When the process began that was last heard. */
  readonly #startedAt = new Map<ServerName, Timestamp>();
  readonly #clockOffsetMs = new Map<ServerName, number>();
  readonly #listeners = new Set<() => void>();
  /** Requests that would wait for a server long after it has fallen silent. */
  readonly #longRequests = new Set<LongRequest>();
  /** Whether the registry has since they were looked after: with every change would be too often, when all servers come back at once. */
  #hasChanged = false;
  /** Whether the bus has more than one broker. */
  readonly #isClustered: boolean;
  readonly #repeater: Repeater;
  readonly #specs = new Map<ServerName, ServerSpec>();
  readonly #events: EventSpool;
  readonly #writer: StreamWriter;
  #expiry: NodeJS.Timeout | undefined;

  constructor(connection: NatsConnection, options: ControlFabricOptions) {
    this.#connection = connection;
    this.#isClustered = connection.info?.cluster !== undefined;
    this.#repeater = new Repeater({ mayMove: this.#isClustered });
    this.#stream = jetstream(connection);
    this.#signer = new Signer(options.yard, options.signerPrivatePem, options.term);
    this.#controls = new Set([options.server, ...(options.formerly ?? [])]);
    this.#recipients = new Recipients(options.caPem);
    this.#log = options.log;
    const { server } = options;
    this.#writer = new StreamWriter(this.#stream);
    this.#events = openEventSpool({
      server,
      path: join(options.directory, "events"),
      publish: (event, msgID) => this.#writer.store({ subject: eventSubject(server, event), text: JSON.stringify(event), msgID }),
    });
  }

  start(): void {
    this.#listen(subjects.allStatuses, (message) => this.#heard(message));
    const [connection, writer, log] = [this.#connection, this.#writer, this.#log];
    new Intake({ connection, writer, log, specFor: (server, certificatePem) => this.#specFor(server, certificatePem) }).start();
    this.#expiry = setInterval(() => this.#forgetSilent(), 500);
    void this.#watchConnection();
    this.#flushEvents();
  }

  #listen(subject: string, take: (message: Msg) => void): Subscription {
    return listen({ connection: this.#connection, subject, log: this.#log }, take);
  }

  async #watchConnection(): Promise<void> {
    for await (const { type } of this.#connection.status()) {
      if (type !== "reconnect") continue;
      this.#repeater.repeatAll();
      this.#flushEvents();
    }
  }

  #flushEvents(): void {
    this.#events.flush().catch((thrown: unknown) => this.#log.warn({ fault: reportFault(thrown) }, "events not stored"));
  }

  ask<I extends z.ZodType, O extends z.ZodType>(
    action: Action<I, O>,
    servers: readonly ServerName[],
    input: z.input<I>,
    options: AskOptions = {},
  ): AsyncIterable<Answer<z.output<O>>> {
    return this.#request<z.output<O>, never>(action, servers, input, options);
  }

  follow<I extends z.ZodType, O extends z.ZodType, P extends z.ZodType>(
    action: StreamAction<I, O, P>,
    servers: readonly ServerName[],
    input: z.input<I>,
    options: AskOptions = {},
  ): AsyncIterable<Answer<z.output<O>> | Part<z.output<P>>> {
    return this.#request<z.output<O>, z.output<P>>(action, servers, input, options);
  }

  async *#request<O, P>(
    action: Action,
    servers: readonly ServerName[],
    input: unknown,
    options: AskOptions,
  ): AsyncIterable<Answer<O> | Part<P>> {
    const { id = randomUUID(), timeoutMs = action.timeoutMs, limits = {}, signal, caller = "control", select } = options;
    const replies = new ReplyAddresses();
    const seal = (target: ServerName | "*", own: string): string =>
      this.#seal(target, action, input, { id: own, caller, timeoutMs, select });
    // Whoever decides by itself needs no message of its own: one signature for all.
    const shared = select === undefined ? null : seal("*", id);
    const send = (server: ServerName, sealed: string): void =>
      this.#connection.publish(subjects.request(server, action.name), sealed, { reply: replies.of(server) });
    const request = new Request<O, P>({
      action: action.name,
      servers,
      timeoutMs,
      limits,
      send: (server) => send(server, shared ?? seal(server, id)),
    });
    const isIdempotent = action.idempotent && !isStream(action) && !isJob(action);
    this.#repeater.add(request, { isIdempotent, ask: (server) => send(server, seal(server, isIdempotent ? randomUUID() : id)) });
    let isOver = false;
    const subscription = this.#listen(replies.all, (message) => {
      const server = replies.serverOf(message.subject);
      if (server === undefined) return;
      const read = readReply(action, server, message);
      if (isNotConnected(read) && this.#repeater.willRepeat(request, server, !this.#statuses.has(server))) {
        request.excuse(server, read.fault);
        return;
      }
      if ("part" in read) request.takePart(server, read.part as P);
      else request.settle(server, read as Result<O>, { isOwn: this.#hasEnded(request, read) });
      if (isOver && !request.isPastGate()) subscription.unsubscribe();
    });
    const cancel = (): void => request.cancel();
    const isLong = isStream(action) || timeoutMs > REGISTRY_EXPIRY_MS;
    if (isLong) this.#longRequests.add(request);
    signal?.addEventListener("abort", cancel, { once: true });
    try {
      if (signal?.aborted) cancel();
      else request.start();
      yield* request.answers;
    } finally {
      this.#longRequests.delete(request);
      this.#repeater.delete(request);
      signal?.removeEventListener("abort", cancel);
      isOver = true;
      // Whom others wait for at a gate is heard until he cannot be at work any more.
      if (request.isPastGate()) setTimeout(() => subscription.unsubscribe(), action.timeoutMs + timeoutMs).unref();
      else subscription.unsubscribe();
      if (isStream(action)) this.#end(id, request.unanswered());
      request.end();
    }
  }

  /** Whether an answer means that the server is not at work. One that has heard the request before may be, from that time. */
  #hasEnded(request: Request<unknown, unknown>, { fault }: Result<unknown>): boolean {
    if (fault?.code === "fabric.no-server") return !this.#repeater.wasHit(request);
    return fault?.code !== "fabric.refused-replayed" && fault?.code !== "fabric.malformed";
  }

  /** Tells servers to stop what they do for a request; one that does not hear it stops at the action's own limit. */
  #end(request: string, servers: readonly ServerName[]): void {
    const { timeoutMs } = endRequest;
    for (const server of servers) {
      const sealed = this.#seal(server, endRequest, { request }, { id: randomUUID(), caller: "control", timeoutMs, select: undefined });
      this.#connection.publish(subjects.request(server, endRequest.name), sealed);
    }
  }

  #settleSilent(request: LongRequest): void {
    for (const server of request.underWay()) {
      if (this.#statuses.has(server) || !this.#lastHeard.has(server)) continue;
      const message = `${server} was asked, and is silent since ${this.#lastHeard.get(server)}: it may have done it all the same`;
      request.settle(server, { fault: { code: "fabric.silent", message, next: null } }, { isOwn: false });
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
    this.#specs.set(spec.server, spec);
    this.#connection.publish(subjects.nudge(spec.server));
  }

  /** Whoever asks, nobody but the server itself can open it. */
  #specFor(server: ServerName, certificatePem: string): string | null {
    const key = this.#recipients.keyOf(server, certificatePem);
    const spec = this.#specs.get(server);
    if (spec === undefined) return null;
    const body = sealTo(key, JSON.stringify(spec));
    return this.#signer.seal({ id: `spec-${spec.generation}`, target: server, action: "spec", body, caller: "control" });
  }

  async forget(server: ServerName): Promise<void> {
    this.#statuses.delete(server);
    this.#heardAtMs.delete(server);
    this.#lastHeard.delete(server);
    this.#heardSince.delete(server);
    this.#startedAt.delete(server);
    this.#clockOffsetMs.delete(server);
    this.#specs.delete(server);
  }

  registry(): ReadonlyMap<ServerName, ServerStatus> {
    return this.#statuses;
  }

  lastHeard(server: ServerName): Timestamp | null {
    return this.#lastHeard.get(server) ?? null;
  }

  heardSince(server: ServerName): Timestamp | null {
    return this.#statuses.has(server) ? (this.#heardSince.get(server) ?? null) : null;
  }

  clockOffsetMs(server: ServerName): number {
    return this.#clockOffsetMs.get(server) ?? 0;
  }

  onRegistryChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  publishEvent(event: Event): Promise<void> {
    // Without a subject to reply to, as the stream's has: whoever hears that may write there.
    if (event.kind === "deployment") this.#connection.publish(subjects.deploymentNews, JSON.stringify(event));
    return this.#events.add(event);
  }

  async *readEvents({ after, last = 0, follow = false, job }: ReadEventsOptions, signal: AbortSignal): AsyncIterable<StoredEvent> {
    // The last event of a job has no number that is known before: then all brokers should have what the first has.
    const { state } =
      job === undefined ? await streamInfo(this.#stream, EVENT_STREAM) : await replicasAreCurrent(this.#stream, EVENT_STREAM);
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
    await replicasAreCurrent(this.#stream, EVENT_STREAM);
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
    const consumer = await this.#stream.consumers.get(EVENT_STREAM, options);
    if (!follow && last === undefined && (await consumer.info()).num_pending === 0) return;
    const messages = await consumer.consume();
    const stop = (): void => void messages.close();
    signal.addEventListener("abort", stop, { once: true });
    try {
      if (signal.aborted) return;
      for await (const message of messages) {
        const event = Event.safeParse(jsonOf(message));
        if (event.success && this.#isOf(event.data, message.subject)) yield { number: message.seq, event: event.data };
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
      const event = Event.safeParse(jsonOf(message));
      return event.success && event.data.kind === "refused" && this.#isOf(event.data, message.subject) ? event.data : undefined;
    };
    return this.#consume({ stream: EVENT_STREAM, name: REFUSAL_CONSUMER, read, take }, signal);
  }

  /** Hands over what stands in a stream, each until it is taken. What cannot be read will not become readable by coming again: it goes. */
  async #consume<T>({ stream, name, read, take }: Consuming<T>, signal: AbortSignal): Promise<void> {
    const consumer = await this.#stream.consumers.get(stream, name);
    // A broker that leads has died when it has said nothing for two halves of this; then another one is asked.
    const messages = await consumer.consume({ max_messages: 10, expires: PULL_MS });
    signal.addEventListener("abort", () => void messages.close(), { once: true });
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

  troubles(): string[] {
    const trouble = this.#writer.trouble();
    return trouble === null ? [] : [trouble];
  }

  isConnected(): boolean {
    return !this.#connection.isClosed();
  }

  async close(): Promise<void> {
    clearInterval(this.#expiry);
    this.#repeater.stop();
    this.#events.stop();
    await this.#connection.close();
  }

  #seal<I extends z.ZodType>(
    target: ServerName | "*",
    action: Action<I>,
    input: z.input<I>,
    { id, caller, timeoutMs, select }: { id: string; caller: string; timeoutMs: number; select: Target | undefined },
  ): string {
    // What answers in parts may go on for hours; to begin it, it has as long as others.
    const validMs = (isStream(action) ? 0 : timeoutMs) + VALIDITY_MARGIN_MS;
    return this.#signer.seal({ id, target, action: action.name, body: input, caller, select, validMs });
  }

  #heard(message: Msg): void {
    if (message.data.length === 0 || message.data.length > MOST_STATUS_BYTES) return;
    const status = ServerStatus.safeParse(jsonOf(message));
    const server = message.subject.split(".").at(-1) ?? "";
    if (!status.success || status.data.server !== server) return;
    const before = this.#statuses.get(server);
    if (before !== undefined && isOlder(status.data, before)) return;
    const { startedAt } = status.data;
    const isAnother = (this.#startedAt.get(server) ?? startedAt) !== startedAt;
    const hasMoved = this.#isClustered && (before?.reconnections ?? 0) < (status.data.reconnections ?? 0);
    if (isAnother || hasMoved) this.#repeater.repeatFor(server);
    this.#startedAt.set(server, startedAt);
    this.#statuses.set(server, status.data);
    const now = performance.now();
    if (now - (this.#heardAtMs.get(server) ?? Number.NEGATIVE_INFINITY) > GAP_MS) this.#heardSince.set(server, timestamp());
    this.#heardAtMs.set(server, now);
    this.#lastHeard.set(server, timestamp());
    this.#clockOffsetMs.set(server, (microsOf(status.data.at) - nowMicros()) / 1000);
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
    if (!this.#hasChanged) return;
    this.#hasChanged = false;
    for (const request of this.#longRequests) this.#settleSilent(request);
  }

  #tell(): void {
    this.#hasChanged = true;
    for (const listener of this.#listeners) listener();
  }
}

/** Of the same process, and given before: it waited in a connection that was lost. */
function isOlder(status: ServerStatus, known: ServerStatus): boolean {
  return status.startedAt === known.startedAt && status.count < known.count;
}

function isNotConnected(read: Result<unknown> | { readonly part: unknown }): read is { readonly fault: FaultReport } {
  return "fault" in read && read.fault?.code === "fabric.no-server";
}

function readReply(action: Action, server: ServerName, message: Msg): Result<unknown> | { readonly part: unknown } {
  if (message.headers?.code === 503) return { fault: { code: "fabric.no-server", message: `${server} is not connected`, next: null } };
  const malformed = (how: string): Result<unknown> => ({
    fault: { code: "fabric.malformed", message: `${server} answered ${action.name} with ${how}`, next: null },
  });
  const reply = Reply.safeParse(jsonOf(message));
  if (!reply.success) return malformed("something unreadable");
  const { last, fault, output } = reply.data;
  if (fault !== undefined) return { fault };
  if (!last && !isStream(action)) return malformed("a part, and is not meant to");
  const schema = last || !isStream(action) ? action.output : action.part;
  const checked = schema.safeParse(output);
  if (!checked.success) return malformed("another shape than declared");
  return last ? { output: checked.data } : { part: checked.data };
}

/** Whether a heartbeat says more than "still there". */
function hasChanged(before: ServerStatus, after: ServerStatus): boolean {
  const essence = ({ generation, targetGeneration, faults, releases, startedAt }: ServerStatus) =>
    JSON.stringify([generation, targetGeneration, faults, releases, startedAt]);
  return essence(before) !== essence(after);
}
