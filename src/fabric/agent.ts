import { type JetStreamClient, jetstream } from "@nats-io/jetstream";
import type { Msg, NatsConnection } from "@nats-io/transport-node";
import { z } from "zod";
import { Channel } from "#base/channel.ts";
import { Fault, type FaultReport, reportFault } from "#base/fault.ts";
import type { Log } from "#base/log.ts";
import type { Action } from "#contract/action.ts";
import type { Enrolment } from "#contract/enrolment.ts";
import type { Reply } from "#contract/envelope.ts";
import { Event } from "#contract/events.ts";
import type { Push } from "#contract/push.ts";
import { ServerSpec } from "#contract/spec/server.ts";
import type { ServerStatus } from "#contract/status.ts";
import type { Target } from "#contract/target.ts";
import { connectBus } from "./connection.ts";
import { Verifier } from "./envelope.ts";
import type { AgentFabric, Handler } from "./fabric.ts";
import { NOT_MEANT } from "./request.ts";
import { Spool } from "./spool.ts";
import { subjects } from "./subjects.ts";

const MAX_AT_ONCE = 64;
const PUBLISH_TIMEOUT_MS = 5_000;

interface Answering {
  readonly action: Action;
  readonly handler: Handler<z.ZodType, z.ZodType>;
}

export interface ConnectAgentOptions {
  readonly log: Log;
  /** Where events wait while the broker is away. */
  readonly spool: string;
}

/** Joins the bus as a server; returns at once, and connects as soon as a broker answers. */
export function connectAgent(enrolment: Enrolment, options: ConnectAgentOptions): AgentFabric {
  const fabric = new ServerEnd(enrolment, options);
  fabric.start();
  return fabric;
}

class ServerEnd implements AgentFabric {
  readonly #enrolment: Enrolment;
  readonly #log: Log;
  readonly #verifier: Verifier;
  readonly #events: Spool<Event>;
  readonly #answering = new Map<string, Answering>();
  readonly #nudged: (() => void)[] = [];
  #isMeant: ((target: Target) => Promise<boolean>) | undefined;
  #connection: NatsConnection | undefined;
  #stream: JetStreamClient | undefined;
  #isClosed = false;
  #atOnce = 0;

  constructor(enrolment: Enrolment, { log, spool }: ConnectAgentOptions) {
    this.#enrolment = enrolment;
    this.#log = log;
    const deliver = (event: Event, id: string): Promise<void> =>
      this.#publish(subjects.event(enrolment.server, event.kind), event, `${enrolment.server}-${id}`);
    this.#events = new Spool({ path: spool, deliver });
    this.#verifier = new Verifier(enrolment.yard, enrolment.server, enrolment.signerPem);
  }

  start(): void {
    const { brokers, credentials, caPem, server: name } = this.#enrolment;
    connectBus({ brokers, credentials, caPem, name, log: this.#log }).then(
      (connection) => this.#connected(connection),
      (thrown: unknown) => this.#log.error({ fault: reportFault(thrown) }, "cannot join the bus"),
    );
  }

  answer<I extends z.ZodType, O extends z.ZodType>(action: Action<I, O>, handler: Handler<I, O>): void {
    this.#answering.set(action.name, { action, handler: handler as Handler<z.ZodType, z.ZodType> });
  }

  selectBy(decide: (target: Target) => Promise<boolean>): void {
    this.#isMeant = decide;
  }

  async readSpec(): Promise<ServerSpec | null> {
    const message = await this.#bus().request(subjects.readSpec(this.#enrolment.server), undefined, { timeout: PUBLISH_TIMEOUT_MS });
    if (message.headers?.code === 404 || message.headers?.get("KV-Operation") || message.data.length === 0) return null;
    return ServerSpec.parse(this.#verifier.open(message.string(), "spec").body);
  }

  onNudge(listener: () => void): void {
    this.#nudged.push(listener);
  }

  async putStatus(status: ServerStatus): Promise<void> {
    this.#bus().publish(subjects.status(this.#enrolment.server), JSON.stringify(status));
  }

  publishEvent(event: Event): Promise<void> {
    return this.#events.add(event);
  }

  async *followDeployments(signal: AbortSignal): AsyncIterable<Event> {
    const channel = new Channel<Event>();
    const subscription = this.#bus().subscribe(subjects.deploymentEvents, {
      callback: (error, message) => {
        const event = error === null ? Event.safeParse(message.json()) : undefined;
        if (event?.success) channel.push(event.data);
      },
    });
    signal.addEventListener("abort", () => channel.close(), { once: true });
    try {
      yield* channel;
    } finally {
      subscription.unsubscribe();
    }
  }

  async publishPush(push: Push): Promise<void> {
    await this.#publish(subjects.push(this.#enrolment.server, push.website), push, push.id);
  }

  isConnected(): boolean {
    return this.#connection !== undefined && !this.#connection.isClosed();
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#connection?.close();
  }

  async #connected(connection: NatsConnection): Promise<void> {
    if (this.#isClosed) return connection.close();
    this.#connection = connection;
    this.#stream = jetstream(connection, { timeout: PUBLISH_TIMEOUT_MS });
    const { server } = this.#enrolment;
    connection.subscribe(subjects.requestsOf(server), { callback: (error, message) => void (error === null && this.#serve(message)) });
    connection.subscribe(subjects.nudge(server), { callback: (error) => void (error === null && this.#nudge()) });
    this.#nudge();
    for await (const status of connection.status()) if (status.type === "reconnect") this.#nudge();
  }

  #nudge(): void {
    this.#events.flush().catch((thrown: unknown) => this.#log.warn({ fault: reportFault(thrown) }, "events not stored"));
    for (const listener of this.#nudged) listener();
  }

  async #serve(message: Msg): Promise<void> {
    const startedAt = performance.now();
    const reply = (rest: { output: unknown } | { fault: FaultReport }): void => {
      const answer: Reply = { server: this.#enrolment.server, last: true, durationMs: performance.now() - startedAt, ...rest };
      message.respond(JSON.stringify(answer));
    };
    this.#atOnce++;
    try {
      reply({ output: await this.#carryOut(message) });
    } catch (thrown) {
      const fault = reportFault(thrown);
      if (fault.code.startsWith("fabric.refused") || fault.code === "unexpected")
        this.#log.warn({ fault, subject: message.subject }, "request refused");
      reply({ fault });
    } finally {
      this.#atOnce--;
    }
  }

  async #carryOut(message: Msg): Promise<unknown> {
    const name = message.subject.split(".").slice(2).join(".");
    const { id, caller, body, select } = this.#verifier.open(message.string(), name);
    if (this.#atOnce > MAX_AT_ONCE) throw new Fault("fabric.busy", `${this.#enrolment.server} already works on ${MAX_AT_ONCE} requests`);
    if (select !== undefined && select.kind !== "all" && !(await this.#isMeant?.(select)))
      throw new Fault(NOT_MEANT, `${this.#enrolment.server} is not of the target`);
    const answering = this.#answering.get(name);
    if (answering === undefined) throw new Fault("fabric.unknown-action", `${this.#enrolment.server} does not offer ${name}`);
    const input = answering.action.input.safeParse(body);
    if (!input.success) throw new Fault("fabric.bad-input", `${name}: ${z.prettifyError(input.error)}`);
    const late = new AbortController();
    const timer = setTimeout(() => late.abort(), answering.action.timeoutMs);
    try {
      const { signal } = late;
      const output = await Promise.race([answering.handler(input.data, { id, caller, signal }), timedOut(signal, name)]);
      return answering.action.output.parse(output);
    } finally {
      clearTimeout(timer);
    }
  }

  async #publish(subject: string, body: unknown, id?: string): Promise<void> {
    this.#bus();
    await this.#stream?.publish(subject, JSON.stringify(body), id === undefined ? {} : { msgID: id });
  }

  #bus(): NatsConnection {
    if (this.#connection !== undefined) return this.#connection;
    throw new Fault("fabric.not-connected", "the broker is out of reach");
  }
}

function timedOut(signal: AbortSignal, action: string): Promise<never> {
  return new Promise((_, reject) => {
    signal.addEventListener("abort", () => reject(new Fault("fabric.timed-out", `${action} took too long`)), { once: true });
  });
}
