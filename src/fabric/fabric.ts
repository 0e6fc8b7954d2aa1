import type { z } from "zod";
import type { FaultReport } from "#base/fault.ts";
import type { Action, JobAction, StreamAction } from "#contract/action.ts";
import type { Event, JobEvent, RefusedEvent } from "#contract/events.ts";
import type { ServerName, Timestamp } from "#contract/names.ts";
import type { Push } from "#contract/push.ts";
import type { ServerSpec } from "#contract/spec/server.ts";
import type { ServerStatus } from "#contract/status.ts";
import type { Target } from "#contract/target.ts";

/** What one server answered to a request: its output, or why there is none. */
export type Answer<O> =
  | { readonly server: ServerName; readonly durationMs: number; readonly output: O; readonly fault?: never }
  | { readonly server: ServerName; readonly durationMs: number; readonly fault: FaultReport; readonly output?: never };

/** A part of one server's answer, before the answer that ends it; an action that answers once has none. */
export type Part<P> = P extends unknown ? { readonly server: ServerName; readonly part: P } : never;

/** How a server leaves a gate: it was not asked after all, or says itself that it has done what it was asked, or has not. */
export type Departure = "not-asked" | "done" | "failed";

/**
 * Waits until a server may begin, and gives what is to be called when it has ended. That is never called for a server that
 * did not answer: it may be at work still. A server whose gate fails is not asked.
 */
export type Gate = (server: ServerName, signal: AbortSignal) => Promise<(how: Departure) => void>;

/** How far a request may go; everything at once by default. */
export interface Limits {
  /** At most so many servers at work at once. */
  readonly atOnce?: number | undefined;
  /** So many servers, then, when all have answered, a pause, then the next. */
  readonly batch?: { readonly size: number; readonly pauseMs: number } | undefined;
  /** Nobody else is asked after so many faults, or after faults of this share of all servers. */
  readonly stopAfter?: { readonly failures: number } | { readonly percent: number } | undefined;
  /** For the whole request. */
  readonly deadlineMs?: number | undefined;
  /** Before each server; they come to it one after the other. */
  readonly gate?: Gate | undefined;
}

export interface AskOptions {
  /** By which servers know the request, and never carry it out twice; a new one by default. */
  readonly id?: string;
  /** For each server, from the moment it is asked; the action's own limit by default. */
  readonly timeoutMs?: number | undefined;
  readonly limits?: Limits;
  readonly signal?: AbortSignal;
  /** Who caused it; "control" by default. */
  readonly caller?: string;
  /** Each server decides by its own live facts whether it is meant; one that is not has no answer. */
  readonly select?: Target | undefined;
}

/** Where to read events from, and whether to stay. */
export interface ReadEventsOptions {
  /** The number of the last event that is known already. */
  readonly after?: number;
  /** Without `after`: so many of the newest; none by default. */
  readonly last?: number;
  /** Goes on with what comes until the signal aborts. */
  readonly follow?: boolean;
  /** Only what servers tell of this job. */
  readonly job?: string;
}

/** An event with its number in the stream, by which a reader goes on from where it stopped. */
export interface StoredEvent {
  readonly number: number;
  readonly event: Event;
}

/** The control plane's end of the fabric. */
export interface ControlFabric {
  /**
   * Asks servers in parallel, within limits, and gives each one's answer as it arrives: exactly one per server. A server
   * that is not connected answers at once with fault "fabric.no-server", a silent one after the time limit with
   * "fabric.timed-out", one that limits left out with "fabric.not-asked", and one that a call-off left without an answer
   * with "fabric.cancelled".
   */
  ask<I extends z.ZodType, O extends z.ZodType>(
    action: Action<I, O>,
    servers: readonly ServerName[],
    input: z.input<I>,
    options?: AskOptions,
  ): AsyncIterable<Answer<z.output<O>>>;
  /** The same, collected. */
  askAll<I extends z.ZodType, O extends z.ZodType>(
    action: Action<I, O>,
    servers: readonly ServerName[],
    input: z.input<I>,
    options?: AskOptions,
  ): Promise<Answer<z.output<O>>[]>;
  /**
   * The same for an action that answers in parts: these come before the server's answer. A server that falls silent
   * meanwhile ends with "fabric.silent"; those that are not waited for any more are told to stop.
   */
  follow<I extends z.ZodType, O extends z.ZodType, P extends z.ZodType>(
    action: StreamAction<I, O, P>,
    servers: readonly ServerName[],
    input: z.input<I>,
    options?: AskOptions,
  ): AsyncIterable<Answer<z.output<O>> | Part<z.output<P>>>;
  /** Every job of the last 30 days, on each server as it was last told of; oldest news first. */
  listJobs(): Promise<JobEvent[]>;
  /** From now on the server is given this spec, signed and sealed to its own key, whenever it asks; nudges it to ask. */
  putSpec(spec: ServerSpec): Promise<void>;
  /** Forgets a removed server: its spec and status. */
  forget(server: ServerName): Promise<void>;
  /** Servers heard of within REGISTRY_EXPIRY_MS, with the last status of each; kept current by a watch. */
  registry(): ReadonlyMap<ServerName, ServerStatus>;
  /** When a server was last heard of since this end joined the bus; null when never. */
  lastHeard(server: ServerName): Timestamp | null;
  /** Since when a server has been heard of without a gap of more than GAP_MS; null when it is not in the registry. */
  heardSince(server: ServerName): Timestamp | null;
  /** By how much a server's clock is ahead of this end's, as of its last sign of life; the way of the message counts as lateness. */
  clockOffsetMs(server: ServerName): number;
  /** Called (without data) whenever the registry changes, and when a server falls silent. Returns the way to stop. */
  onRegistryChange(listener: () => void): () => void;
  /** Publishes an event after all before it, once; while the broker does not take it, it waits on disk, with a bounded number of others. */
  publishEvent(event: Event): Promise<void>;
  /** Events in their order from any point of the last 30 days; ends at the newest, or goes on with what comes. */
  readEvents(options: ReadEventsOptions, signal: AbortSignal): AsyncIterable<StoredEvent>;
  /**
   * Hands over pushes from stream PUSHES, oldest first; a push is acknowledged when `take` has resolved, and comes again
   * when it threw or the process ended. Durable across restarts. Returns when the signal aborts.
   */
  consumePushes(take: (push: Push) => Promise<void>, signal: AbortSignal): Promise<void>;
  /** The same for what servers have refused, as they tell in events. */
  consumeRefusals(take: (refused: RefusedEvent) => Promise<void>, signal: AbortSignal): Promise<void>;
  /** Whether the broker is connected at the moment. */
  isConnected(): boolean;
  /** What the broker does not do at present that it should, in words; empty when all is well. */
  troubles(): string[];
  close(): Promise<void>;
}

interface RequestContext {
  readonly id: string;
  readonly caller: string;
  /** Aborts when the action's time limit has passed or the agent stops. */
  readonly signal: AbortSignal;
}

/** What a handler of an action in parts gets beside. */
interface StreamContext<P> extends RequestContext {
  readonly send: (part: P) => void;
}

/** What the work of a job gets beside; its signal aborts when the job is cancelled, has taken too long or the agent stops. */
interface JobContext extends RequestContext {
  /** Tells how far it is; at most one line a second is passed on, of a job that goes on for long fewer. */
  readonly report: (line: string) => void;
}

export type StreamHandler<I extends z.ZodType, O extends z.ZodType, P extends z.ZodType> = (
  input: z.output<I>,
  context: StreamContext<z.input<P>>,
) => Promise<z.input<O>>;

export type JobHandler<I extends z.ZodType, R extends z.ZodType> = (input: z.output<I>, context: JobContext) => Promise<z.input<R>>;

export type Handler<I extends z.ZodType, O extends z.ZodType> = (input: z.output<I>, context: RequestContext) => Promise<z.input<O>>;

/** A server's end of the fabric. */
export interface AgentFabric {
  /** Answers requests for the action; verified, validated, each request id once; a thrown Fault becomes the answer. */
  answer<I extends z.ZodType, O extends z.ZodType>(action: Action<I, O>, handler: Handler<I, O>): void;
  /** The same in parts; the handler ends when its signal aborts. */
  answerInParts<I extends z.ZodType, O extends z.ZodType, P extends z.ZodType>(
    action: StreamAction<I, O, P>,
    handler: StreamHandler<I, O, P>,
  ): void;
  /** Answers with a job's id, and tells in events how it gets on; a job that this process did not see to its end is told of by the next. */
  answerWithJob<I extends z.ZodType, R extends z.ZodType>(action: JobAction<I, R>, handler: JobHandler<I, R>): void;
  /**
   * Answers itself some requests for an action that does no harm, so that the first real one is answered as fast as the
   * hundredth, and goes on with that for a minute, now and then. Nothing is sent, and nothing is remembered.
   */
  rehearse<I extends z.ZodType, O extends z.ZodType>(action: Action<I, O>, input: z.input<I>): Promise<void>;
  /** How the server decides whether a target means it; without it, it refuses to. */
  selectBy(decide: (target: Target) => Promise<boolean>): void;
  /** How the server decides whether a person may ask it for an action; without it nobody but control may. */
  allowBy(decide: (caller: string, action: string) => Promise<boolean>): void;
  /** How many messages were refused since the process began. */
  refused(): number;
  /** The server's own spec, from control, verified (signature, yard, target) and opened; null when there is none yet. */
  readSpec(): Promise<ServerSpec | null>;
  /** Called (without data) when control says "look again", and after each reconnection. */
  onNudge(listener: () => void): void;
  /** From now on, and after a restart, the server looks for these brokers; none stands for no news. */
  useBrokers(brokers: readonly string[]): Promise<void>;
  /** Writes the server's status: its heartbeat. */
  putStatus(status: ServerStatus): Promise<void>;
  /** Publishes an event after all before it, once; while the broker is away it waits on disk, with a bounded number of others. */
  publishEvent(event: Event): Promise<void>;
  /** Deployment events live, from now on; only the git server may. */
  followDeployments(signal: AbortSignal): AsyncIterable<Event>;
  /** Publishes a push to stream PUSHES and waits for the acknowledgement; the same id counts once. Only the git server may. */
  publishPush(push: Push): Promise<void>;
  isConnected(): boolean;
  close(): Promise<void>;
}
