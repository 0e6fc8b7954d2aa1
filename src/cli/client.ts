import type { IncomingMessage } from "node:http";
import type { z } from "zod";
import { Fault, faultFromReport } from "#base/fault.ts";
import type { Route } from "#contract/api/route.ts";
import { FaultReport } from "#contract/fault.ts";
import { accessOf } from "./access.ts";
import { ANSWER_TIMEOUT, httpSender } from "./http.ts";

type Given<R extends Route> = (z.input<R["params"]> extends Record<string, never>
  ? { params?: never }
  : { params: z.input<R["params"]> }) & {
  input?: z.input<R["input"]>;
};

/** The control API of one yard, typed by its contract. */
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

/** Where a yard's control API is, and what opens it. */
export interface Access {
  readonly url: string;
  readonly token: string;
  readonly caPem: string;
}

const CONNECT_TIMEOUT_MS = 5_000;
const ANSWER_TIMEOUT_MS = 60_000;

/** A client for the yard that BOXYARD_ACCESS opens, or else of this name on this machine; nothing is sent yet. */
export async function connect(yard: string): Promise<Client> {
  const access = await accessOf(yard);
  return createClient(access.yard, access);
}

/** A client for an API at a known address. */
export function createClient(yard: string, access: Access, { timeoutMs = ANSWER_TIMEOUT_MS } = {}): Client {
  const sendHttp = httpSender({ caPem: access.caPem, connectTimeoutMs: CONNECT_TIMEOUT_MS });
  const send = async (route: Route, given: Untyped, silenceMs: number): Promise<IncomingMessage> => {
    const path = pathOf(route, check(route.params, given.params ?? {}));
    const input = check(route.input, given.input ?? {});
    const hasBody = route.method === "POST" || route.method === "PATCH";
    return sendHttp(`${access.url}${path}${hasBody ? "" : queryOf(input)}`, {
      method: route.method,
      headers: { authorization: `Bearer ${access.token}`, "content-type": "application/json" },
      body: hasBody ? JSON.stringify(input) : null,
      silenceMs,
    });
  };
  const silent = (cause: unknown): never => {
    throw cause instanceof Fault ? cause : silence(cause, yard, access.url);
  };
  return {
    yard,
    call: async (route, given: Untyped = {}) => {
      const answer = await send(route, given, timeoutMs)
        .then(async (answered) => ({ status: statusOf(answered), text: await textOf(answered) }))
        .catch(silent);
      return readAnswer(route, answer) as never;
    },
    stream: async function* (route, given) {
      // A line may be long in coming: servers may take their time.
      const answered = await send(route, given, 0).catch(silent);
      const status = statusOf(answered);
      if (status >= 400) readAnswer(route, { status, text: await textOf(answered) });
      let rest = "";
      try {
        for await (const chunk of answered.setEncoding("utf8")) {
          const lines = `${rest}${chunk}`.split("\n");
          rest = lines.pop() ?? "";
          for (const text of lines) yield readAnswer(route, { status, text }) as never;
        }
      } catch (cause) {
        silent(cause);
      }
    },
  };
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

async function textOf(answered: IncomingMessage): Promise<string> {
  let text = "";
  for await (const chunk of answered.setEncoding("utf8")) text += chunk;
  return text;
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

/** Why no answer came: a stranger at that address and a slow answer want other steps than a service that is off. */
function silence(cause: unknown, yard: string, url: string): Fault {
  const code = String((cause as { code?: unknown }).code);
  if (/CERT|SIGNATURE|ALTNAME/.test(code))
    return new Fault("control.untrusted", `what answers at ${url} does not prove that it is control of yard ${yard}`, {
      cause,
      next: `bin/up --yard ${yard} reads the yard's certificate authority anew`,
    });
  if (code === ANSWER_TIMEOUT)
    return new Fault("control.timed-out", `control of yard ${yard} at ${url} did not finish its answer in time`, {
      cause,
      next: "what was asked may have been done all the same: boxyard status",
    });
  return new Fault("control.unreachable", `control of yard ${yard} does not answer at ${url}`, {
    cause,
    next: `bin/up --yard ${yard} starts what is stopped`,
  });
}

function readAnswer(route: Route, { status, text }: { readonly status: number; readonly text: string }): unknown {
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

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
