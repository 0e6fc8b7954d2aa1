import { type Context, Hono } from "hono";
import { bodyLimit } from "hono/body-limit";
import { stream } from "hono/streaming";
import { z } from "zod";
import { Fault, reportFault } from "#base/fault.ts";
import { LEADER_PATH } from "#contract/api/leader.ts";
import type { Route } from "#contract/api/route.ts";
import { api } from "#contract/api/routes.ts";
import type { Caller } from "../requests/run.ts";
import { ChangeAudit } from "./audit.ts";
import { callerOf } from "./caller.ts";
import type { ApiContext } from "./context.ts";
import { handlers } from "./handlers.ts";
import { LineWriter } from "./line-writer.ts";
import { type Listening, type ListenOptions, listen } from "./listen.ts";

const MAX_BODY_BYTES = 256 * 1024;

/** Serves the HTTP API of contract/api/ over TLS; gives the way to stop it. */
export function serveApi(context: ApiContext, where: Pick<ListenOptions, "address" | "port">): Listening {
  const { certificatePem: certificate, keyPem: key } = context.secrets.server;
  return listen(createApp(context), { certificate, key, ...where });
}

/** The API as a Hono application: every route from the contract's table, and who leads. */
export function createApp(context: ApiContext): Hono<Authorized> {
  const app = new Hono<Authorized>();
  app.use((_http, next) => {
    context.confirmLead();
    return next();
  });
  // Who serves all this leads.
  app.get(LEADER_PATH, (http) => http.body(null, 204));
  app.use(
    bodyLimit({ maxSize: MAX_BODY_BYTES, onError: (http) => answerFault(http, new Fault("api.too-large", "the request is too large")) }),
  );
  app.use(async (http, next) => {
    const caller = await callerOf(context, http.req.header("authorization"));
    if (caller === null) return answerFault(http, UNKNOWN_CALLER);
    http.set("caller", caller);
    await next();
  });
  for (const name of Object.keys(api) as (keyof typeof api)[]) {
    const route: Route = api[name];
    app.on(route.method, route.path.replaceAll(/\{(\w+)\}/g, ":$1"), async (http) => {
      const caller = http.get("caller");
      const check = async (): Promise<Given> => {
        if (!route.isOpen && !caller.isOperator) throw forOperators(caller, route);
        return { ...(await readRequest(http, route)), caller };
      };
      const carryOut = async (given: Given): Promise<unknown> => route.output.parse(await (handlers[name] as Handle)(context, given));
      const change = { name, route, caller: caller.name, params: http.req.param() };
      const audit = route.method === "GET" ? null : new ChangeAudit(context, change);
      const given = await (audit?.check(check) ?? check());
      // What is asked of servers has entries of its own, with whom and what they answered.
      if (route.streams) return streamLines(http, route, (gone) => (handlers[name] as HandleStream)(context, given, gone));
      const work = (): Promise<unknown> => carryOut(given);
      return http.json((await (audit?.around(given.input, work) ?? work())) as object);
    });
  }
  app.notFound((http) => answerFault(http, new Fault("api.unknown-route", `there is no ${http.req.method} ${http.req.path}`)));
  app.onError((thrown, http) => {
    if (!(thrown instanceof Fault)) context.log.error({ err: thrown, path: http.req.path }, "request failed");
    return answerFault(http, thrown);
  });
  return app;
}

interface Authorized {
  readonly Variables: { caller: Caller };
}

interface Given {
  readonly params: unknown;
  readonly input: unknown;
  readonly caller: Caller;
}

type Handle = (context: ApiContext, given: Given) => Promise<unknown>;
type HandleStream = (context: ApiContext, given: Given, gone: AbortSignal) => AsyncIterable<unknown>;

const UNKNOWN_CALLER = new Fault("api.unauthorized", "the token is missing or wrong", {
  next: "use the CLI on the machine that ran bin/up, or ask an operator: boxyard person add",
});

function forOperators({ name }: Caller, { summary }: Route): Fault {
  return new Fault("policy.refused", `this is for operators, and ${name} is none: ${summary}`, { next: "ask an operator" });
}

/** A fault before the first line is an error answer; a later one ends the stream without its last line, and the caller notices. */
async function streamLines(http: Context, route: Route, open: (gone: AbortSignal) => AsyncIterable<unknown>): Promise<Response> {
  const gone = new AbortController();
  http.req.raw.signal.addEventListener("abort", () => gone.abort(), { once: true });
  const lines = open(gone.signal)[Symbol.asyncIterator]();
  const first = await lines.next();
  http.header("content-type", "application/x-ndjson");
  return stream(http, async (out) => {
    out.onAbort(() => gone.abort());
    const writer = new LineWriter((text) => out.write(text));
    try {
      for (let line = first; !line.done; line = await lines.next()) await writer.add(JSON.stringify(route.output.parse(line.value)));
    } finally {
      await writer.flush();
    }
  });
}

async function readRequest(http: Context, route: Route): Promise<{ params: unknown; input: unknown }> {
  const hasBody = route.method === "POST" || route.method === "PATCH";
  return { params: check(route.params, http.req.param()), input: check(route.input, hasBody ? await readJson(http) : http.req.query()) };
}

async function readJson(http: Context): Promise<unknown> {
  const text = await http.req.text();
  if (text === "") return {};
  try {
    return JSON.parse(text);
  } catch {
    throw new Fault("api.bad-input", "the request is not JSON");
  }
}

function check(schema: z.ZodType, given: unknown): unknown {
  const parsed = schema.safeParse(given);
  if (parsed.success) return parsed.data;
  throw new Fault("api.bad-input", z.prettifyError(parsed.error).replaceAll("✖ ", ""));
}

function answerFault(http: Context, thrown: unknown): Response {
  const known = thrown instanceof Fault;
  const report = known
    ? reportFault(thrown)
    : {
        code: "unexpected",
        message: "control met an unexpected error",
        next: "see its log: journalctl -u boxyard-control on the control server",
      };
  return http.json(report, statusOf(report.code));
}

function statusOf(code: string): 400 | 401 | 403 | 404 | 409 | 413 | 500 | 503 {
  if (code === "api.unauthorized") return 401;
  if (code === "policy.refused") return 403;
  if (code === "api.too-large") return 413;
  if (code.endsWith(".unknown") || code === "api.unknown-route") return 404;
  if (code === "api.bad-input" || code.endsWith(".invalid")) return 400;
  if (code.startsWith("fabric.")) return 503;
  return code === "unexpected" ? 500 : 409;
}
