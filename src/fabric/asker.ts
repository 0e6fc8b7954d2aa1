import { randomUUID } from "node:crypto";
import type { Msg, NatsConnection } from "@nats-io/transport-node";
import type { FaultReport } from "#base/fault.ts";
import type { Log } from "#base/log.ts";
import { type Action, isJob, isStream } from "#contract/action.ts";
import { endRequest } from "#contract/actions/request.ts";
import { Reply } from "#contract/envelope.ts";
import type { ServerName } from "#contract/names.ts";
import { REGISTRY_EXPIRY_MS } from "#contract/status.ts";
import type { Target } from "#contract/target.ts";
import type { Signer } from "./envelope.ts";
import type { Answer, AskOptions, Part } from "./fabric.ts";
import { jsonOf, listen } from "./listen.ts";
import type { Registry } from "./registry.ts";
import { Repeater } from "./repeater.ts";
import { ReplyAddresses } from "./reply-addresses.ts";
import { Request, type Result } from "./request.ts";
import { subjects } from "./subjects.ts";

export interface AskerOptions {
  readonly connection: NatsConnection;
  readonly registry: Pick<Registry, "has" | "lastHeard">;
  readonly signer: Signer;
  /** Whether the bus has more than one broker. */
  readonly isClustered: boolean;
  readonly log: Log;
}

/** An envelope is valid a little longer than its action may take, so that a slow broker does not void it. */
const VALIDITY_MARGIN_MS = 10_000;

// What answers carry is nothing to who waits for silent servers.
type LongRequest = Pick<Request<never>, "underWay" | "settle">;

interface SealOptions {
  readonly id: string;
  readonly caller: string;
  readonly timeoutMs: number;
  readonly select?: Target | undefined;
}

/** Asks servers and hears their answers: each request is signed, sent, repeated where it may be lost, and comes to an end. */
export class Asker {
  readonly #options: AskerOptions;
  readonly #repeater: Repeater;
  /** Requests that would wait for a server long after it has fallen silent. */
  readonly #longRequests = new Set<LongRequest>();

  constructor(options: AskerOptions) {
    this.#options = options;
    this.#repeater = new Repeater({ mayMove: options.isClustered });
  }

  /** As ControlFabric says of `ask` and `follow`. */
  async *ask<O, P>(
    action: Action,
    servers: readonly ServerName[],
    input: unknown,
    options: AskOptions,
  ): AsyncIterable<Answer<O> | Part<P>> {
    const { connection, log, registry } = this.#options;
    const { id = randomUUID(), timeoutMs = action.timeoutMs, limits = {}, signal, caller = "control", select } = options;
    const replies = new ReplyAddresses();
    const seal = (target: ServerName | "*", own: string): string =>
      this.#seal(target, action, input, { id: own, caller, timeoutMs, select });
    // Whoever decides by itself needs no message of its own: one signature for all.
    const shared = select === undefined ? null : seal("*", id);
    const send = (server: ServerName, sealed: string): void =>
      connection.publish(subjects.request(server, action.name), sealed, { reply: replies.of(server) });
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
    const subscription = listen({ connection, subject: replies.all, log }, (message) => {
      const server = replies.serverOf(message.subject);
      if (server === undefined) return;
      const read = readReply(action, server, message);
      if (isNotConnected(read) && this.#repeater.willRepeat(request, server, !registry.has(server))) {
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
      const sealed = this.#seal(server, endRequest, { request }, { id: randomUUID(), caller: "control", timeoutMs });
      this.#options.connection.publish(subjects.request(server, endRequest.name), sealed);
    }
  }

  /** What was on its way through a broker that is lost is sent again. */
  repeatAll(): void {
    this.#repeater.repeatAll();
  }

  /** The same for what one server may not have heard, or not have answered. */
  repeatFor(server: ServerName): void {
    this.#repeater.repeatFor(server);
  }

  /** Long requests do not wait for servers that have fallen silent. */
  settleSilent(): void {
    const { registry } = this.#options;
    for (const request of this.#longRequests)
      for (const server of request.underWay()) {
        const heardAt = registry.lastHeard(server);
        if (registry.has(server) || heardAt === null) continue;
        const message = `${server} was asked, and is silent since ${heardAt}: it may have done it all the same`;
        request.settle(server, { fault: { code: "fabric.silent", message, next: null } }, { isOwn: false });
      }
  }

  /** Nobody is asked any more. */
  stop(): void {
    this.#repeater.stop();
  }

  #seal(target: ServerName | "*", action: Action, input: unknown, { id, caller, timeoutMs, select }: SealOptions): string {
    // What answers in parts may go on for hours; to begin it, it has as long as others.
    const validMs = (isStream(action) ? 0 : timeoutMs) + VALIDITY_MARGIN_MS;
    return this.#options.signer.seal({ id, target, action: action.name, body: input, caller, select, validMs });
  }
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
