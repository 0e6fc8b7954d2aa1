import { randomUUID } from "node:crypto";
import type { z } from "zod";
import { Channel } from "#base/channel.ts";
import { type Clock, systemClock } from "#base/clock.ts";
import { Fault, type FaultReport, reportFault } from "#base/fault.ts";
import type { Action } from "#contract/action.ts";
import type { Event } from "#contract/events.ts";
import type { ServerName } from "#contract/names.ts";
import { CONTROL } from "#contract/policy.ts";
import { ServerSpec } from "#contract/spec/server.ts";
import { ServerStatus } from "#contract/status.ts";
import type { Target } from "#contract/target.ts";
import type { AgentFabric, Answer, AskOptions, ControlFabric, StoredEvent } from "../fabric.ts";

type Answering = (
  input: unknown,
  context: { readonly id: string; readonly caller: string; readonly signal: AbortSignal },
) => Promise<unknown>;

/** A bus that is only remembered, for tests of what uses one. */
export function memoryBus(clock?: Clock): MemoryBus {
  return new MemoryBus(clock);
}

/**
 * The memory twin of the bus: what both ends of the fabric promise, without signatures, limits of requests, jobs and streams
 * of parts, pushes. Servers can be cut off, and any spec be given out.
 */
export class MemoryBus {
  readonly specs = new Map<ServerName, ServerSpec>();
  readonly events: Event[] = [];
  readonly #ends = new Map<ServerName, MemoryServerEnd>();
  readonly #statuses = new Map<ServerName, ServerStatus>();
  readonly #listeners = new Set<() => void>();
  readonly #clock: Clock;
  #newEvent = Promise.withResolvers<void>();

  constructor(clock: Clock = systemClock) {
    this.#clock = clock;
  }

  /** A server's end; a second one of the same name takes the first one's place. */
  joinAsServer(server: ServerName): MemoryServerEnd {
    const end = new MemoryServerEnd(server, this);
    this.#ends.set(server, end);
    return end;
  }

  /** Control's end. */
  joinAsControl(): ControlFabric {
    const bus = this;
    async function* ask<I extends z.ZodType, O extends z.ZodType>(
      action: Action<I, O>,
      servers: readonly ServerName[],
      input: z.input<I>,
      options: AskOptions = {},
    ): AsyncIterable<Answer<z.output<O>>> {
      const answers = new Channel<Answer<z.output<O>>>();
      const asking = servers.map(async (server) => {
        const startedAt = bus.#clock.elapsedMs();
        const answer = await bus.#askOne(action, server, input, options);
        if (answer !== null) answers.push({ server, durationMs: bus.#clock.elapsedMs() - startedAt, ...answer } as Answer<z.output<O>>);
      });
      void Promise.all(asking).then(() => answers.close());
      yield* answers;
    }
    const isNotThere = (): never => {
      throw new Error("the memory bus has nothing of this");
    };
    return {
      ask,
      askAll: async (...given) => {
        const answers = [];
        for await (const answer of ask(...given)) answers.push(answer);
        return answers;
      },
      putSpec: async (spec) => {
        this.specs.set(spec.server, ServerSpec.parse(spec));
        this.#ends.get(spec.server)?.nudge();
      },
      forget: async (server) => {
        this.specs.delete(server);
        this.#statuses.delete(server);
        this.#callListeners();
      },
      registry: () => this.#statuses,
      lastHeard: (server) => this.#statuses.get(server)?.at ?? null,
      heardSince: (server) => this.#statuses.get(server)?.startedAt ?? null,
      clockOffsetMs: () => 0,
      onRegistryChange: (listener) => {
        this.#listeners.add(listener);
        return () => void this.#listeners.delete(listener);
      },
      publishEvent: async (event) => this.publish(event),
      readEvents: (options, signal) => this.#readEvents(options, signal),
      isConnected: () => true,
      troubles: () => [],
      close: async () => undefined,
      follow: isNotThere,
      listJobs: isNotThere,
      consumePushes: isNotThere,
      consumeRefusals: isNotThere,
    };
  }

  publish(event: Event): void {
    this.events.push(event);
    this.#newEvent.resolve();
    this.#newEvent = Promise.withResolvers();
  }

  /** What a server says of itself, as it arrives. */
  hear(status: ServerStatus): void {
    this.#statuses.set(status.server, ServerStatus.parse(status));
    this.#callListeners();
  }

  #callListeners(): void {
    for (const listener of this.#listeners) listener();
  }

  async #askOne(
    action: Action,
    server: ServerName,
    input: unknown,
    { id = randomUUID(), timeoutMs = action.timeoutMs, signal, caller = CONTROL, select }: AskOptions,
  ): Promise<{ readonly output: unknown } | { readonly fault: FaultReport } | null> {
    const end = this.#ends.get(server);
    if (end === undefined || !end.isConnected()) return refusal("fabric.no-server", `${server} is not connected`);
    const over = new AbortController();
    const { promise: givenUp, resolve: giveUp } = Promise.withResolvers<ReturnType<typeof refusal>>();
    const stopWaiting = this.#clock.after(timeoutMs, () => giveUp(refusal("fabric.timed-out", `${server} has not answered in time`)));
    const onAbort = (): void => giveUp(refusal("fabric.cancelled", "the request was cancelled"));
    signal?.addEventListener("abort", onAbort, { once: true });
    if (signal?.aborted) onAbort();
    try {
      const answer = end.serve(action, input, { id, caller, select, signal: over.signal });
      return await Promise.race([answer, givenUp]);
    } finally {
      over.abort();
      stopWaiting();
      signal?.removeEventListener("abort", onAbort);
    }
  }

  async *#readEvents(
    { after, last = 0, follow = false, job }: Parameters<ControlFabric["readEvents"]>[0],
    signal: AbortSignal,
  ): AsyncIterable<StoredEvent> {
    const aborted = new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
    for (let next = after ?? Math.max(0, this.events.length - last); !signal.aborted; ) {
      const event = this.events[next];
      if (event !== undefined) {
        next++;
        if (job === undefined || (event.kind === "job" && event.job === job)) yield { number: next, event };
      } else if (follow) await Promise.race([this.#newEvent.promise, aborted]);
      else return;
    }
  }
}

/** A server's end of a bus in memory. */
export class MemoryServerEnd implements AgentFabric {
  readonly #server: ServerName;
  readonly #bus: MemoryBus;
  readonly #answering = new Map<string, { readonly action: Action; readonly answering: Answering }>();
  readonly #answered = new Map<string, Promise<{ readonly output: unknown } | { readonly fault: FaultReport }>>();
  readonly #nudged: (() => void)[] = [];
  #isMeant: ((target: Target) => Promise<boolean>) | undefined;
  #mayAsk: ((caller: string, action: string) => Promise<boolean>) | undefined;
  #isConnected = true;
  #specFault: Fault | undefined;
  /** What it had to say while it was cut off. */
  readonly #unsaid: Event[] = [];
  /** The brokers that its last spec names. */
  brokers: readonly string[] = [];

  constructor(server: ServerName, bus: MemoryBus) {
    this.#server = server;
    this.#bus = bus;
  }

  /** As if the network had gone; nothing arrives until `bringBack`. */
  cutOff(): void {
    this.#isConnected = false;
  }

  /** It is back, says what it had to say, and looks again. */
  bringBack(): void {
    this.#isConnected = true;
    for (const event of this.#unsaid.splice(0)) this.#bus.publish(event);
    this.nudge();
  }

  /** From now on control gives no spec, until it is called with nothing. */
  failSpecs(fault?: Fault): void {
    this.#specFault = fault;
  }

  nudge(): void {
    if (this.#isConnected) for (const listener of this.#nudged) listener();
  }

  /** A request arrives; null when the server is not meant. */
  async serve(
    { name }: Action,
    input: unknown,
    { id, caller, select, signal }: { id: string; caller: string; select: Target | undefined; signal: AbortSignal },
  ): Promise<{ readonly output: unknown } | { readonly fault: FaultReport } | null> {
    if (select !== undefined && !(await this.#isMeant?.(select))) return null;
    if (caller !== CONTROL && !(await this.#mayAsk?.(caller, name)))
      return refusal("fabric.refused-caller", `${caller} may not ask for ${name}`);
    const known = this.#answered.get(id);
    if (known !== undefined) return known;
    const answer = this.#answer(name, input, { id, caller, signal });
    this.#answered.set(id, answer);
    return answer;
  }

  answer: AgentFabric["answer"] = (action, handler) => {
    this.#answering.set(action.name, { action, answering: handler as Answering });
  };

  answerInParts: AgentFabric["answerInParts"] = (action) => {
    this.#answering.set(action.name, { action, answering: () => Promise.reject(new Error("no parts in memory")) });
  };

  answerWithJob: AgentFabric["answerWithJob"] = (action) => {
    this.#answering.set(action.name, { action, answering: () => Promise.reject(new Error("no jobs in memory")) });
  };

  /** What it answers to. */
  actions(): string[] {
    return [...this.#answering.keys()].sort();
  }

  async rehearse(): Promise<void> {
    // Nothing gets slower here by not being used.
  }

  selectBy(decide: (target: Target) => Promise<boolean>): void {
    this.#isMeant = decide;
  }

  allowBy(decide: (caller: string, action: string) => Promise<boolean>): void {
    this.#mayAsk = decide;
  }

  refused(): number {
    return 0;
  }

  async readSpec(): Promise<ServerSpec | null> {
    if (!this.#isConnected) throw new Fault("fabric.no-spec", "the bus is away");
    if (this.#specFault !== undefined) throw this.#specFault;
    return this.#bus.specs.get(this.#server) ?? null;
  }

  onNudge(listener: () => void): void {
    this.#nudged.push(listener);
  }

  async useBrokers(brokers: readonly string[]): Promise<void> {
    if (brokers.length > 0) this.brokers = brokers;
  }

  async putStatus(status: ServerStatus): Promise<void> {
    if (this.#isConnected) this.#bus.hear(status);
  }

  async publishEvent(event: Event): Promise<void> {
    if (this.#isConnected) this.#bus.publish(event);
    else this.#unsaid.push(event);
  }

  followDeployments(): AsyncIterable<Event> {
    throw new Error("the memory bus has nothing of this");
  }

  publishPush(): Promise<void> {
    throw new Error("the memory bus has nothing of this");
  }

  isConnected(): boolean {
    return this.#isConnected;
  }

  async close(): Promise<void> {
    this.#isConnected = false;
  }

  async #answer(
    name: string,
    input: unknown,
    context: Parameters<Answering>[1],
  ): Promise<{ readonly output: unknown } | { readonly fault: FaultReport }> {
    const found = this.#answering.get(name);
    if (found === undefined) return refusal("fabric.unknown-action", `${this.#server} does not answer ${name}`);
    const { action, answering } = found;
    const parsed = action.input.safeParse(input);
    if (!parsed.success) return refusal("fabric.bad-input", `bad input for ${name}`);
    try {
      return { output: action.output.parse(await answering(parsed.data, context)) };
    } catch (thrown) {
      return { fault: reportFault(thrown) };
    }
  }
}

function refusal(code: string, message: string): { readonly fault: FaultReport } {
  return { fault: reportFault(new Fault(code, message)) };
}
