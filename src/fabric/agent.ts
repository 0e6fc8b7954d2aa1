import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { Msg, NatsConnection, Subscription } from "@nats-io/transport-node";
import { z } from "zod";
import { Channel } from "#base/channel.ts";
import { microsOf } from "#base/clock.ts";
import { Fault, type FaultReport, isFault, reportFault } from "#base/fault.ts";
import type { Log } from "#base/log.ts";
import { type Action, isStream, type JobAction, type StreamAction } from "#contract/action.ts";
import { makeBusKey, takeBusKey } from "#contract/actions/credentials.ts";
import { endRequest } from "#contract/actions/request.ts";
import type { Enrolment } from "#contract/enrolment.ts";
import { type HandedIn, Receipt, type Reply, Sealed } from "#contract/envelope.ts";
import { type Event, readEvent } from "#contract/events.ts";
import { CONTROL } from "#contract/policy.ts";
import type { Push } from "#contract/push.ts";
import { ServerSpec } from "#contract/spec/server.ts";
import type { ServerStatus } from "#contract/status.ts";
import type { Target } from "#contract/target.ts";
import { type BusOptions, connectBus } from "./connection.ts";
import { Verifier } from "./envelope.ts";
import { type EventSpool, NOT_TAKEN, openEventSpool } from "./event-spool.ts";
import type { AgentFabric, Handler, JobHandler, StreamHandler } from "./fabric.ts";
import { Jobs } from "./jobs.ts";
import { jsonOf, listen } from "./listen.ts";
import { type Credentials, createBusKey, publicKeyOf } from "./native-keys.ts";
import { Once } from "./once.ts";
import { isRefusal, Refusals } from "./refusals.ts";
import { rehearse } from "./rehearsal.ts";
import { NOT_MEANT } from "./request.ts";
import { openSealed } from "./sealing.ts";
import { subjects } from "./subjects.ts";
import { Terms } from "./terms.ts";
import { type Work, Works } from "./work.ts";

const MAX_AT_ONCE = 64;
/** How long control may take to store something or to give a spec. */
const CONTROL_MS = 5_000;
const CONNECT_MS = 5_000;
/** How long what is under way may take before a connection is given up, and how long a last answer needs. */
const FINISH_MS = 20_000;
const CLOSING_MS = 1_000;

interface Link {
  readonly connection: NatsConnection;
  readonly subscriptions: readonly Subscription[];
}

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
  /** Keeps what the next process is to join with; without it credentials cannot be renewed, and brokers not changed. */
  readonly keepEnrolment?: (enrolment: Enrolment) => Promise<void>;
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
  #enrolment: Enrolment;
  /** Those that count now; connections read it. */
  readonly #brokers: string[];
  readonly #log: Log;
  readonly #verifier: Verifier;
  readonly #events: EventSpool;
  readonly #jobs: Jobs;
  readonly #once: Once;
  readonly #refusals: Refusals;
  readonly #answering = new Map<string, Answering>();
  /** What can be ended before its time, by the id of its request. */
  readonly #underWay = new Works();
  readonly #nudged: (() => void)[] = [];
  #mayAsk: ((caller: string, action: string) => Promise<boolean>) | undefined;
  #isMeant: ((target: Target) => Promise<boolean>) | undefined;
  readonly #keepEnrolment: ConnectAgentOptions["keepEnrolment"];
  /** Made when control asks for it, used when control has signed it. */
  #newKey: ReturnType<typeof createBusKey> | undefined;
  #link: Link | undefined;
  /** Those who follow what others publish; each is to subscribe anew on a new connection. */
  readonly #followers = new Set<(connection: NatsConnection) => Subscription>();
  /** What has come since a second connection is open: it comes over both. */
  #seen: Set<string> | undefined;
  readonly #closing = new AbortController();
  #reconnections = 0;
  #atOnce = 0;

  constructor(enrolment: Enrolment, { log, directory, keepEnrolment }: ConnectAgentOptions) {
    this.#enrolment = enrolment;
    this.#brokers = [...enrolment.brokers];
    this.#keepEnrolment = keepEnrolment;
    this.#log = log;
    this.#events = openEventSpool({
      server: enrolment.server,
      path: join(directory, "events"),
      publish: (event, id) => this.#handIn("event", id, event),
    });
    this.#once = new Once(join(directory, "requests"));
    const publish = (event: Event): Promise<void> => this.#events.add(event);
    this.#jobs = new Jobs({ server: enrolment.server, path: join(directory, "jobs"), publish });
    this.#refusals = new Refusals({ server: enrolment.server, log, publish });
    const terms = new Terms(join(directory, "term"));
    this.#verifier = new Verifier(enrolment.yard, enrolment.server, enrolment.signerPem, terms);
  }

  start(): void {
    void this.#jobs.tellInterrupted();
    this.answer(endRequest, async ({ request }) => ({ wasUnderWay: this.#end(request) }));
    this.answer(makeBusKey, async () => {
      this.#newKey ??= createBusKey();
      return { publicKey: this.#newKey.publicKey, current: publicKeyOf(this.#enrolment.credentials.jwt) };
    });
    this.answer(takeBusKey, ({ jwt }, { id }) => this.#changeKey(jwt, id));
    connectBus(this.#busOptions(this.#enrolment.credentials)).then(
      (connection) => this.#use(connection),
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

  async rehearse<I extends z.ZodType, O extends z.ZodType>(action: Action<I, O>, input: z.input<I>): Promise<void> {
    if (!action.idempotent) throw new Error(`${action.name} is not to be done for nothing`);
    const { signal } = this.#closing;
    await rehearse(this.#enrolment, { action, input, signal, serve: (message, verifier) => this.#serve(message, verifier) });
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
    const message = await this.#askControl("spec", this.#enrolment.certificatePem);
    if (message.data.length === 0) return null;
    const { refused } = Receipt.safeParse(jsonOf(message)).data ?? { refused: null };
    if (refused !== null) throw new Fault("fabric.no-spec", `control gives no spec: ${refused}`);
    // Signed is what is sealed: nothing is opened before it is known from whom it is.
    const sealed = Sealed.parse(this.#verifier.open(message.string(), "spec").body);
    return ServerSpec.parse(JSON.parse(openSealed(sealed, this.#enrolment.keyPem)));
  }

  onNudge(listener: () => void): void {
    this.#nudged.push(listener);
  }

  async putStatus(status: ServerStatus): Promise<void> {
    this.#bus().publish(subjects.status(this.#enrolment.server), JSON.stringify({ ...status, reconnections: this.#reconnections }));
  }

  publishEvent(event: Event): Promise<void> {
    return this.#events.add(event);
  }

  async *followDeployments(signal: AbortSignal): AsyncIterable<Event> {
    const channel = new Channel<Event>();
    let subscription: Subscription | undefined;
    const follow = (connection: NatsConnection): Subscription => {
      subscription = listen({ connection, subject: subjects.deploymentNews, log: this.#log }, (message) => {
        const event = this.#isTwin(message) ? null : readEvent(jsonOf(message));
        if (event?.kind === "deployment") channel.push(event);
      });
      return subscription;
    };
    follow(this.#bus());
    this.#followers.add(follow);
    signal.addEventListener("abort", () => channel.close(), { once: true });
    try {
      yield* channel;
    } finally {
      this.#followers.delete(follow);
      subscription?.unsubscribe();
    }
  }

  async publishPush(push: Push): Promise<void> {
    await this.#handIn("push", push.id, push).catch((thrown: unknown) => {
      // It would be refused for ever, and those behind it must not wait for it.
      if (!isFault(thrown, NOT_TAKEN)) throw thrown;
      this.#log.error({ push: push.id, fault: reportFault(thrown) }, "push not taken");
    });
  }

  isConnected(): boolean {
    return this.#link !== undefined && !this.#link.connection.isClosed();
  }

  async close(): Promise<void> {
    this.#closing.abort();
    this.#jobs.stop();
    this.#events.stop();
    await this.#link?.connection.close();
  }

  async useBrokers(brokers: readonly string[]): Promise<void> {
    if (brokers.length === 0 || brokers.join() === this.#brokers.join()) return;
    await this.#keep({ brokers: [...brokers] });
    this.#brokers.splice(0, Number.POSITIVE_INFINITY, ...brokers);
    this.#link?.connection.setServers(brokers.map((broker) => new URL(broker).host));
    this.#log.info({ brokers }, "brokers changed");
  }

  /** On disk first: what is used must be known to the next process. */
  async #keep(change: Partial<Enrolment>): Promise<void> {
    const enrolment = { ...this.#enrolment, ...change };
    await this.#keepEnrolment?.(enrolment);
    this.#enrolment = enrolment;
  }

  #busOptions(credentials: Credentials): BusOptions {
    const { caPem, server: name } = this.#enrolment;
    return { brokers: this.#brokers, credentials, caPem, name, log: this.#log };
  }

  /** From now on all goes over this connection. */
  #use(connection: NatsConnection): void {
    if (this.#closing.signal.aborted) return void connection.close();
    const { server } = this.#enrolment;
    const log = this.#log;
    // No queue group: the broker would go on giving a part of the requests to a connection that died without its knowledge.
    const requests = listen({ connection, subject: subjects.requestsOf(server), log }, (message) => {
      if (!this.#isTwin(message))
        void this.#serve(message).catch((thrown: unknown) => log.warn({ fault: reportFault(thrown) }, "not answered"));
    });
    const nudges = listen({ connection, subject: subjects.nudge(server), log }, () => this.#nudge());
    const followed = [...this.#followers].map((follow) => follow(connection));
    const subscriptions = [requests, nudges, ...followed];
    this.#link = { connection, subscriptions };
    this.#nudge();
    void this.#nudgeWhenBack(connection);
  }

  #isTwin(message: Msg): boolean {
    if (this.#seen === undefined) return false;
    const request = message.string();
    const isTwin = this.#seen.has(request);
    this.#seen.add(request);
    return isTwin;
  }

  async #nudgeWhenBack(connection: NatsConnection): Promise<void> {
    for await (const status of connection.status()) {
      if (status.type !== "reconnect") continue;
      this.#reconnections++;
      this.#nudge();
    }
  }

  /** The new key is on disk before it is used, and the old connection goes when nothing is left to be answered over it. */
  async #changeKey(jwt: string, request: string): Promise<{ publicKey: string }> {
    const [key, old] = [this.#newKey, this.#link];
    const publicKey = publicKeyOf(jwt);
    if (key?.publicKey !== publicKey || old === undefined || this.#keepEnrolment === undefined)
      throw new Fault("credentials.unknown", `${this.#enrolment.server} has made no such key`);
    const credentials = { jwt, seed: key.seed };
    const connection = await connectBus({ ...this.#busOptions(credentials), onceMs: CONNECT_MS });
    await connection.close();
    await this.#keep({ credentials });
    this.#newKey = undefined;
    await this.#changeTo(await connectBus(this.#busOptions(credentials)), old);
    await this.#finishUnderWay(request);
    // This answer still goes the old way.
    setTimeout(() => void old.connection.drain().catch(() => old.connection.close()), CLOSING_MS);
    return { publicKey };
  }

  /** Requests come over both connections for a moment; each is carried out once. */
  async #changeTo(connection: NatsConnection, old: Link): Promise<void> {
    const seen = new Set<string>();
    this.#seen = seen;
    try {
      this.#use(connection);
      for (const subscription of old.subscriptions) await subscription.drain();
    } finally {
      // What the new connection still brings a second time is on its way.
      setTimeout(() => {
        if (this.#seen === seen) this.#seen = undefined;
      }, CLOSING_MS);
    }
  }

  /** What is under way ends by itself; what would not, or not soon, is ended: its answer could not be heard any more. */
  async #finishUnderWay(ownRequest: string): Promise<void> {
    // What has just come may not have been begun yet.
    await sleep(CLOSING_MS / 10);
    const left = this.#underWay.all().filter(([id]) => id !== ownRequest);
    const areLeft = (): boolean => left.some(([id, one]) => this.#underWay.get(id) === one);
    const interrupt = (whom: (one: Work) => boolean): void => {
      const why = new Fault("fabric.interrupted", "the server changes its credentials: ask again");
      for (const [, one] of left) if (whom(one)) one.end(why);
    };
    interrupt(({ action }) => isStream(action));
    const deadline = performance.now() + FINISH_MS;
    while (areLeft() && performance.now() < deadline) await sleep(50);
    interrupt(() => true);
    while (areLeft() && performance.now() < deadline + CLOSING_MS) await sleep(50);
  }

  #nudge(): void {
    this.#flush();
    for (const listener of this.#nudged) listener();
  }

  async #serve(message: Msg, verifier = this.#verifier): Promise<void> {
    const startedAt = performance.now();
    const reply = (rest: { output: unknown } | { fault: FaultReport }, last = true): void => {
      const answer: Reply = { server: this.#enrolment.server, last, durationMs: performance.now() - startedAt, ...rest };
      message.respond(JSON.stringify(answer));
    };
    this.#atOnce++;
    try {
      reply({ output: await this.#carryOut(message, verifier, (output) => reply({ output }, false)) });
    } catch (thrown) {
      const fault = reportFault(thrown);
      if (isRefusal(fault)) this.#refusals.note(fault, message.subject);
      else if (fault.code === "unexpected") this.#log.warn({ fault, subject: message.subject }, "request failed");
      reply({ fault });
    } finally {
      this.#atOnce--;
    }
  }

  async #carryOut(message: Msg, verifier: Verifier, send: (part: unknown) => void): Promise<unknown> {
    const name = message.subject.split(".").slice(2).join(".");
    const asked = verifier.open(message.string(), name);
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
    const work = this.#underWay.begin(id, action);
    const context = {
      id,
      caller,
      send,
      get signal() {
        return work.signal;
      },
    };
    try {
      if (!isStream(action)) return action.output.parse(await work.orEnded(handler(input, context)));
      // What answers in parts ends by itself when it is told to.
      const output = await handler(input, context);
      work.throwIfEnded();
      return action.output.parse(output);
    } finally {
      this.#underWay.delete(id);
    }
  }

  #end(request: string): boolean {
    const underWay = this.#underWay.get(request);
    underWay?.end(new Fault("fabric.cancelled", "it was cancelled"));
    return this.#jobs.end(request) || underWay !== undefined;
  }

  /** Resolves when control has stored it. Fault "fabric.not-taken" when control never will. */
  async #handIn(what: "event" | "push", id: string, body: unknown): Promise<void> {
    const message = await this.#askControl(what, JSON.stringify({ id, body } satisfies HandedIn));
    const { refused } = Receipt.parse(jsonOf(message));
    if (refused !== null) throw new Fault(NOT_TAKEN, `control does not take this ${what}: ${refused}`);
  }

  async #askControl(what: "event" | "push" | "spec", text: string): Promise<Msg> {
    const connection = this.#bus();
    return connection.request(subjects.handIn(this.#enrolment.server, what), text, { timeout: CONTROL_MS }).catch((cause: unknown) => {
      throw new Fault("fabric.no-control", "control does not answer at present", { cause, next: "it is tried again" });
    });
  }

  #flush(): void {
    this.#events.flush().catch((thrown: unknown) => this.#log.warn({ fault: reportFault(thrown) }, "events not stored"));
  }

  #bus(): NatsConnection {
    if (this.#link !== undefined) return this.#link.connection;
    throw new Fault("fabric.not-connected", "the broker is out of reach");
  }
}
