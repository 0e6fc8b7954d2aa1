import type { IncomingMessage } from "node:http";
import type { z } from "zod";
import { Fault, faultFromReport, isFault } from "#base/fault.ts";
import { STANDBY } from "#contract/api/leader.ts";
import type { Route } from "#contract/api/route.ts";
import { FaultReport } from "#contract/fault.ts";
import { accessOf } from "./access.ts";
import { ControlServers, codeOf, parseJson, silence, standbyOf } from "./control-servers.ts";
import { ANSWER_TIMEOUT, type Endpoint, textOf, wasUnsent } from "./http.ts";

type Given<R extends Route> = (z.input<R["params"]> extends Record<string, never>
  ? { params?: never }
  : { params: z.input<R["params"]> }) & {
  input?: z.input<R["input"]>;
};

/**
 * The control API of one yard, typed by its contract. With several control servers the one that leads is asked. A request that
 * breaks off is sent once more to who leads then, when it only reads or has certainly not arrived; of any other, Fault
 * "control.broken-off" says that it may have been done.
 */
export interface Client {
  readonly yard: string;
  /** Calls a route; an error answer is thrown as the Fault that control reported. */
  call<R extends Route>(
    route: R,
    ...given: z.input<R["params"]> extends Record<string, never> ? [Given<R>?] : [Given<R>]
  ): Promise<z.output<R["output"]>>;
  /** Calls a route that streams, and gives its lines as they come. */
  stream<R extends Route & { readonly streams: true }>(route: R, given: Given<R>): AsyncIterable<z.output<R["output"]>>;
}

/** Where a yard's control API may be, and what opens it. */
export interface Access {
  readonly urls: readonly string[];
  readonly token: string;
  readonly caPem: string;
}

export interface ClientOptions {
  readonly timeoutMs?: number;
  /** How long it is looked for a control server that leads. */
  readonly searchMs?: number;
  /** How often it is looked whether a control server that has not answered yet still leads. */
  readonly watchMs?: number;
  /** Told what keeps all waiting; on standard error by default. */
  readonly note?: (line: string) => void;
}

const ANSWER_TIMEOUT_MS = 60_000;
const SEARCH_MS = 60_000;
const WATCH_MS = 5_000;

/** A client for the yard that BOXYARD_ACCESS opens, or else of this name on this machine; nothing is sent yet. */
export async function connect(yard: string): Promise<Client> {
  const access = await accessOf(yard);
  return createClient(access.yard, access);
}

/** A client for an API at known addresses. */
export function createClient(yard: string, { urls, token, caPem }: Access, options: ClientOptions = {}): Client {
  const { timeoutMs = ANSWER_TIMEOUT_MS, searchMs = SEARCH_MS, watchMs = WATCH_MS, note = noteOnStderr } = options;
  const servers = new ControlServers({ yard, urls, caPem, note, searchMs, watchMs });
  const headers = { authorization: `Bearer ${token}`, "content-type": "application/json" };
  return {
    yard,
    call: async (route, given: Untyped = {}) => {
      const sent = { ...requestOf(route, given), headers, silenceMs: timeoutMs };
      const answer = await askLeader({ yard, servers, route }, async (endpoint) => {
        const answered = await endpoint.send(sent.path, sent);
        return refuseStandby({ status: statusOf(answered), text: await textOf(answered) });
      });
      return readAnswer(route, answer) as never;
    },
    stream: async function* (route, given) {
      // A line may be long in coming: servers may take their time.
      const sent = { ...requestOf(route, given), headers, silenceMs: 0 };
      const { endpoint, answered } = await askLeader({ yard, servers, route }, async (endpoint) => {
        const answered = await endpoint.send(sent.path, sent);
        const status = statusOf(answered);
        if (status >= 400) readAnswer(route, refuseStandby({ status, text: await textOf(answered) }));
        return { endpoint, answered };
      });
      const stopWatching = servers.watch(endpoint);
      try {
        for await (const text of linesOf(answered)) yield readAnswer(route, { status: 200, text }) as never;
      } catch (cause) {
        servers.forget(endpoint);
        throw faultOf(cause, endpoint, { yard, servers, route });
      } finally {
        stopWatching();
      }
    },
  };
}

interface Asking {
  readonly yard: string;
  readonly servers: ControlServers;
  readonly route: Route;
}

/** Asks who leads, and once more who leads then if that may be. */
async function askLeader<T>(asking: Asking, ask: (endpoint: Endpoint) => Promise<T>): Promise<T> {
  for (let isSecond = false; ; isSecond = true) {
    const endpoint = await asking.servers.leader();
    const stopWatching = asking.servers.watch(endpoint);
    try {
      return await ask(endpoint);
    } catch (cause) {
      const hasAnswered = cause instanceof Fault && cause.code !== STANDBY;
      if (!hasAnswered) asking.servers.forget(endpoint);
      if (hasAnswered || isSecond || !mayRepeat(cause, asking)) throw faultOf(cause, endpoint, asking);
    } finally {
      stopWatching();
    }
  }
}

function mayRepeat(cause: unknown, { servers, route }: Asking): boolean {
  if (!servers.areSeveral || codeOf(cause) === ANSWER_TIMEOUT) return false;
  return route.method === "GET" || isFault(cause, STANDBY) || wasUnsent(cause);
}

function faultOf(cause: unknown, { url }: Endpoint, { yard, route }: Asking): Fault {
  if (cause instanceof Fault) return cause;
  if (wasUnsent(cause) || codeOf(cause) === ANSWER_TIMEOUT) return silence(cause, yard, url);
  if (route.method === "GET")
    return new Fault("control.broken-off", `control of yard ${yard} broke off its answer at ${url}`, { cause, next: "ask again" });
  const done = route.streams ? "servers that were asked may have done it all the same" : "what was asked may have been done all the same";
  return new Fault("control.broken-off", `control of yard ${yard} broke off at ${url}: ${done}`, {
    cause,
    next: "look what became of it (boxyard status), then ask again",
  });
}

/** One that stands by has done nothing. */
function refuseStandby(answer: Answer): Answer {
  const fault = standbyOf(answer.status, answer.text);
  if (fault !== null) throw fault;
  return answer;
}

function noteOnStderr(line: string): void {
  process.stderr.write(`${line}\n`);
}

interface Answer {
  readonly status: number;
  readonly text: string;
}

function requestOf(route: Route, given: Untyped): { method: string; path: string; body: string | null } {
  const path = pathOf(route, check(route.params, given.params ?? {}));
  const input = check(route.input, given.input ?? {});
  const hasBody = route.method === "POST" || route.method === "PATCH";
  return { method: route.method, path: `${path}${hasBody ? "" : queryOf(input)}`, body: hasBody ? JSON.stringify(input) : null };
}

async function* linesOf(answered: IncomingMessage): AsyncIterable<string> {
  let rest = "";
  for await (const chunk of answered.setEncoding("utf8")) {
    const lines = `${rest}${chunk}`.split("\n");
    rest = lines.pop() ?? "";
    yield* lines;
  }
}

interface Untyped {
  readonly params?: Record<string, unknown>;
  readonly input?: Record<string, unknown>;
}

/** What the contract refuses is refused here already, with the contract's own words. */
function check(schema: z.ZodType, given: Record<string, unknown>): Record<string, unknown> {
  const checked = schema.safeParse(given);
  if (checked.success) return checked.data as Record<string, unknown>;
  const problems = checked.error.issues.map(({ path: [name], message }) => `${String(name)} “${shorten(given[String(name)])}”: ${message}`);
  throw new Fault("input.invalid", problems.join("\n"));
}

function statusOf({ statusCode = 0 }: IncomingMessage): number {
  return statusCode;
}

function shorten(value: unknown): string {
  const text = String(value).replaceAll(/\p{Cc}/gu, " ");
  return text.length > 60 ? `${text.slice(0, 60)}…` : text;
}

function pathOf(route: Route, params: Record<string, unknown>): string {
  return route.path.replaceAll(/\{(\w+)\}/g, (_, name: string) => encodeURIComponent(String(params[name])));
}

function queryOf(input: Record<string, unknown>): string {
  const set = Object.entries(input).filter(([, value]) => value !== undefined);
  return set.length === 0 ? "" : `?${new URLSearchParams(Object.fromEntries(set.map(([name, value]) => [name, String(value)])))}`;
}

function readAnswer(route: Route, { status, text }: Answer): unknown {
  const body = parseJson(text);
  if (status >= 400) {
    const report = FaultReport.safeParse(body);
    throw report.success
      ? faultFromReport(report.data)
      : new Fault("control.error", `control answers ${status} to ${route.method} ${route.path}`);
  }
  const output = route.output.safeParse(body);
  if (output.success) return output.data;
  throw new Fault("control.not-understood", `control's answer to ${route.method} ${route.path} is not what this CLI understands`, {
    cause: output.error.issues.map(({ path, message }) => `${path.join(".") || "answer"}: ${message}`).join(", "),
    next: "CLI and yard have different versions: bin/up brings the yard to this one",
  });
}
