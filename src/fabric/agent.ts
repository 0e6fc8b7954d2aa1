import { join } from "node:path";
import { type JetStreamClient, jetstream } from "@nats-io/jetstream";
import type { Msg, NatsConnection } from "@nats-io/transport-node";
import { z } from "zod";
import { Channel } from "#base/channel.ts";
import { microsOf } from "#base/clock.ts";
import { Fault, type FaultReport, reportFault } from "#base/fault.ts";
import type { Log } from "#base/log.ts";
import type { Action, JobAction, StreamAction } from "#contract/action.ts";
import { endRequest } from "#contract/actions/request.ts";
import type { Enrolment } from "#contract/enrolment.ts";
import type { Reply } from "#contract/envelope.ts";
import { Event } from "#contract/events.ts";
import type { ServerName } from "#contract/names.ts";
import { CONTROL } from "#contract/policy.ts";
import type { Push } from "#contract/push.ts";
import { ServerSpec } from "#contract/spec/server.ts";
import type { ServerStatus } from "#contract/status.ts";
import type { Target } from "#contract/target.ts";
import { connectBus } from "./connection.ts";
import { Verifier } from "./envelope.ts";
import type { AgentFabric, Handler, JobHandler, StreamHandler } from "./fabric.ts";
import { Jobs } from "./jobs.ts";
import { Once } from "./once.ts";
import { isRefusal, Refusals } from "./refusals.ts";
import { NOT_MEANT } from "./request.ts";
import { Spool } from "./spool.ts";
import { subjects } from "./subjects.ts";

const MAX_AT_ONCE = 64;
const PUBLISH_TIMEOUT_MS = 5_000;

interface Answering {
  readonly action: Action;
  readonly handler: (input: unknown, context: AnswerContext) => Promise<unknown>;
}

interface AnswerContext {
  readonly id: string;
  readonly caller: string;
  readonly signal: AbortSignal;
  readonly send: (part: unknown) => void;
}

export interface ConnectAgentOptions {
  readonly log: Log;
  /** Where the process keeps what must outlive it: events that wait for the broker, jobs under way, requests that must not come twice. */
  readonly directory: string;
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
  readonly #jobs: Jobs;
  readonly #once: Once;
  readonly #refusals: Refusals;
  readonly #answering = new Map<string, Answering>();
  /** What can be ended before its time, by the id of its request. */
  readonly #underWay = new Map<string, AbortController>();
  readonly #nudged: (() => void)[] = [];
  #mayAsk: ((caller: string, action: string) => Promise<boolean>) | undefined;
  #isMeant: ((target: Target) => Promise<boolean>) | undefined;
  #connection: NatsConnection | undefined;
  #stream: JetStreamClient | undefined;
  #isClosed = false;
  #atOnce = 0;

  constructor(enrolment: Enrolment, { log, directory }: ConnectAgentOptions) {
    this.#enrolment = enrolment;
    this.#log = log;
    const deliver = (event: Event, id: string): Promise<void> =>
      this.#publish(subjectOf(enrolment.server, event), event, `${enrolment.server}-${id}`);
    this.#events = new Spool({ path: join(directory, "events"), deliver });
    this.#once = new Once(join(directory, "requests"));
    const publish = (event: Event): Promise<void> => this.#events.add(event);
    this.#jobs = new Jobs({ server: enrolment.server, path: join(directory, "jobs"), publish });
    this.#refusals = new Refusals({ server: enrolment.server, log, publish });
    this.#verifier = new Verifier(enrolment.yard, enrolment.server, enrolment.signerPem);
  }

  start(): void {
    void this.#jobs.tellInterrupted();
    this.answer(endRequest, async ({ request }) => ({ wasUnderWay: this.#end(request) }));
    const { brokers, credentials, caPem, server: name } = this.#enrolment;
    connectBus({ brokers, credentials, caPem, name, log: this.#log }).then(
      (connection) => this.#connected(connection),
      (thrown: unknown) => this.#log.error({ fault: reportFault(thrown) }, "cannot join the bus"),
    );
  }

  answer<I extends z.ZodType, O extends z.ZodType>(action: Action<I, O>, handler: Handler<I, O>): void {
    this.#answering.set(action.name, { action, handler: (input, context) => handler(input as z.output<I>, context) });
  }

  answerInParts<I extends z.ZodType, O extends z.ZodType, P extends z.ZodType>(
    action: StreamAction<I, O, P>,
    handler: StreamHandler<I, O, P>,
  ): void {
    this.#answering.set(action.name, { action, handler: (input, context) => handler(input as z.output<I>, context) });
  }

  answerWithJob<I extends z.ZodType, R extends z.ZodType>(action: JobAction<I, R>, handler: JobHandler<I, R>): void {
    this.#answering.set(action.name, {
      action,
      handler: (input, { id, caller }) =>
        this.#jobs.begin(action, (context) => handler(input as z.output<I>, { id, caller, ...context }), { id, caller }),
    });
  }

  selectBy(decide: (target: Target) => Promise<boolean>): void {
    this.#isMeant = decide;
  }

  allowBy(decide: (caller: string, action: string) => Promise<boolean>): void {
    this.#mayAsk = decide;
  }

  refused(): number {
    return this.#refusals.count;
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
    this.#jobs.stop();
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
    const reply = (rest: { output: unknown } | { fault: FaultReport }, last = true): void => {
      const answer: Reply = { server: this.#enrolment.server, last, durationMs: performance.now() - startedAt, ...rest };
      message.respond(JSON.stringify(answer));
    };
    this.#atOnce++;
    try {
      reply({ output: await this.#carryOut(message, (output) => reply({ output }, false)) });
    } catch (thrown) {
      const fault = reportFault(thrown);
      if (isRefusal(fault)) this.#refusals.note(fault, message.subject);
      else if (fault.code === "unexpected") this.#log.warn({ fault, subject: message.subject }, "request failed");
      reply({ fault });
    } finally {
      this.#atOnce--;
    }
  }

  async #carryOut(message: Msg, send: (part: unknown) => void): Promise<unknown> {
    const name = message.subject.split(".").slice(2).join(".");
    const asked = this.#verifier.open(message.string(), name);
    const { select, caller } = asked;
    if (caller !== CONTROL && !(await this.#mayAsk?.(caller, name)))
      throw new Fault("fabric.refused-caller", `${caller} may not ask ${this.#enrolment.server} for ${name}`);
    if (this.#atOnce > MAX_AT_ONCE) throw new Fault("fabric.busy", `${this.#enrolment.server} already works on ${MAX_AT_ONCE} requests`);
    if (select !== undefined && select.kind !== "all" && !(await this.#isMeant?.(select)))
      throw new Fault(NOT_MEANT, `${this.#enrolment.server} is not of the target`);
    const answering = this.#answering.get(name);
    if (answering === undefined) throw new Fault("fabric.unknown-action", `${this.#enrolment.server} does not offer ${name}`);
    const input = answering.action.input.safeParse(asked.body);
    if (!input.success) throw new Fault("fabric.bad-input", `${name}: ${z.prettifyError(input.error)}`);
    if (!answering.action.idempotent && asked.expiresAt !== undefined) await this.#once.take(asked.id, microsOf(asked.expiresAt));
    return this.#handle(answering, input.data, { ...asked, send });
  }

  /** Until it is done, takes too long or is ended by another request. */
  async #handle({ action, handler }: Answering, input: unknown, { id, caller, send }: Omit<AnswerContext, "signal">): Promise<unknown> {
    const ended = new AbortController();
    this.#underWay.set(id, ended);
    const timer = setTimeout(() => ended.abort(new Fault("fabric.timed-out", `${action.name} took too long`)), action.timeoutMs);
    try {
      const { signal } = ended;
      const context = { id, caller, signal, send };
      // What answers in parts ends by itself when it is called off, and says what it has come to.
      const answer = action.manner === "stream" ? handler(input, context) : Promise.race([handler(input, context), aborted(signal)]);
      return action.output.parse(await answer);
    } finally {
      clearTimeout(timer);
      this.#underWay.delete(id);
    }
  }

  #end(request: string): boolean {
    const underWay = this.#underWay.get(request);
    underWay?.abort(new Fault("fabric.cancelled", "it was called off"));
    return this.#jobs.end(request) || underWay !== undefined;
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

function subjectOf(server: ServerName, event: Event): string {
  return event.kind === "job" ? subjects.jobEvent(server, event.job) : subjects.event(server, event.kind);
}

function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    signal.addEventListener("abort", () => reject(signal.reason), { once: true });
  });
}
