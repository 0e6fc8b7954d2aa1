import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { jetstream } from "@nats-io/jetstream";
import type { NatsConnection } from "@nats-io/transport-node";
import type { z } from "zod";
import { reportFault } from "#base/fault.ts";
import type { Log } from "#base/log.ts";
import type { Action, StreamAction } from "#contract/action.ts";
import type { Event, JobEvent, RefusedEvent } from "#contract/events.ts";
import type { ServerName, Timestamp } from "#contract/names.ts";
import type { Push } from "#contract/push.ts";
import type { ServerSpec } from "#contract/spec/server.ts";
import type { ServerStatus } from "#contract/status.ts";
import { Asker } from "./asker.ts";
import { type BusOptions, connectBus } from "./connection.ts";
import { Signer } from "./envelope.ts";
import { type EventSpool, openEventSpool } from "./event-spool.ts";
import type { Answer, AskOptions, ControlFabric, Part, ReadEventsOptions, StoredEvent } from "./fabric.ts";
import { Intake } from "./intake.ts";
import { listen } from "./listen.ts";
import { Registry } from "./registry.ts";
import { Recipients, sealTo } from "./sealing.ts";
import { StreamReader } from "./stream-reader.ts";
import { StreamWriter } from "./stream-writer.ts";
import { makeStreams } from "./streams.ts";
import { eventSubject, subjects } from "./subjects.ts";

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

/** Brokers that have just started choose who leads first. */
const STREAMS_MS = 10_000;

/**
 * Joins the bus as the control plane: waits for a broker, and a moment for the streams. It does not depend on them: while no
 * majority of the brokers is there nothing is stored, and who asks for that majority to be started is control.
 */
export async function connectControl(options: ControlFabricOptions): Promise<ControlFabric> {
  const connection = await connectBus(options);
  const fabric = new ControlEnd(connection, options);
  await Promise.race([fabric.start(), sleep(STREAMS_MS, undefined, { ref: false })]);
  return fabric;
}

class ControlEnd implements ControlFabric {
  readonly #connection: NatsConnection;
  readonly #log: Log;
  readonly #registry: Registry;
  readonly #asker: Asker;
  readonly #signer: Signer;
  readonly #recipients: Recipients;
  readonly #specs = new Map<ServerName, ServerSpec>();
  readonly #reader: StreamReader;
  readonly #writer: StreamWriter;
  readonly #events: EventSpool;
  readonly #closing = new AbortController();

  constructor(connection: NatsConnection, options: ControlFabricOptions) {
    const { server, formerly = [], log } = options;
    const isClustered = connection.info?.cluster !== undefined;
    const stream = jetstream(connection);
    this.#connection = connection;
    this.#log = log;
    this.#signer = new Signer(options.yard, options.signerPrivatePem, options.term);
    this.#recipients = new Recipients(options.caPem);
    this.#registry = new Registry({
      isClustered,
      onRenewed: (renewed) => this.#asker.repeatFor(renewed),
      onSettled: () => this.#asker.settleSilent(),
    });
    this.#asker = new Asker({ connection, registry: this.#registry, signer: this.#signer, isClustered, log });
    this.#reader = new StreamReader({ stream, controls: new Set([server, ...formerly]), log });
    this.#writer = new StreamWriter(stream);
    this.#events = openEventSpool({
      server,
      path: join(options.directory, "events"),
      publish: (event, msgID) => this.#writer.store({ subject: eventSubject(server, event), text: JSON.stringify(event), msgID }),
    });
  }

  /** Resolves when the streams are there, or when this end is closed. */
  start(): Promise<void> {
    const [connection, writer, log] = [this.#connection, this.#writer, this.#log];
    listen({ connection, subject: subjects.allStatuses, log }, (message) => this.#registry.hear(message));
    new Intake({ connection, writer, log, specFor: (server, certificatePem) => this.#specFor(server, certificatePem) }).start();
    this.#registry.start();
    void this.#watchConnection();
    this.#flushEvents();
    return makeStreams(connection, { log, signal: this.#closing.signal });
  }

  async #watchConnection(): Promise<void> {
    for await (const { type } of this.#connection.status()) {
      if (type !== "reconnect") continue;
      this.#asker.repeatAll();
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
    return this.#asker.ask<z.output<O>, never>(action, servers, input, options);
  }

  follow<I extends z.ZodType, O extends z.ZodType, P extends z.ZodType>(
    action: StreamAction<I, O, P>,
    servers: readonly ServerName[],
    input: z.input<I>,
    options: AskOptions = {},
  ): AsyncIterable<Answer<z.output<O>> | Part<z.output<P>>> {
    return this.#asker.ask<z.output<O>, z.output<P>>(action, servers, input, options);
  }

  async askAll<I extends z.ZodType, O extends z.ZodType>(
    action: Action<I, O>,
    servers: readonly ServerName[],
    input: z.input<I>,
    options?: AskOptions,
  ): Promise<Answer<z.output<O>>[]> {
    return Array.fromAsync(this.ask(action, servers, input, options));
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
    this.#registry.forget(server);
    this.#specs.delete(server);
  }

  registry(): ReadonlyMap<ServerName, ServerStatus> {
    return this.#registry.statuses();
  }

  lastHeard(server: ServerName): Timestamp | null {
    return this.#registry.lastHeard(server);
  }

  heardSince(server: ServerName): Timestamp | null {
    return this.#registry.heardSince(server);
  }

  clockOffsetMs(server: ServerName): number {
    return this.#registry.clockOffsetMs(server);
  }

  onRegistryChange(listener: () => void): () => void {
    return this.#registry.onChange(listener);
  }

  publishEvent(event: Event): Promise<void> {
    // Without a subject to reply to, as the stream's has: whoever hears that may write there.
    if (event.kind === "deployment") this.#connection.publish(subjects.deploymentNews, JSON.stringify(event));
    return this.#events.add(event);
  }

  readEvents(options: ReadEventsOptions, signal: AbortSignal): AsyncIterable<StoredEvent> {
    return this.#reader.readEvents(options, signal);
  }

  listJobs(): Promise<JobEvent[]> {
    return this.#reader.listJobs();
  }

  consumePushes(take: (push: Push) => Promise<void>, signal: AbortSignal): Promise<void> {
    return this.#reader.consumePushes(take, signal);
  }

  consumeRefusals(take: (refused: RefusedEvent) => Promise<void>, signal: AbortSignal): Promise<void> {
    return this.#reader.consumeRefusals(take, signal);
  }

  troubles(): string[] {
    const trouble = this.#writer.trouble();
    return trouble === null ? [] : [trouble];
  }

  isConnected(): boolean {
    return !this.#connection.isClosed();
  }

  async close(): Promise<void> {
    this.#closing.abort();
    this.#registry.stop();
    this.#asker.stop();
    this.#events.stop();
    await this.#connection.close();
  }
}
