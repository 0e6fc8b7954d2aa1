import { Agent, request } from "undici";
import { z } from "zod";
import { Fault, faultFromReport } from "#base/fault.ts";
import { ApiFault, type Route } from "#contract/api.ts";
import { readYardState } from "./host/yard-state.ts";

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
}

const TIMEOUT_MS = 60_000;

/** Access to a yard of this machine; nothing is sent yet. Fault "yard.not-here" when there is none. */
export async function connect(yard: string): Promise<Client> {
  const { url, token, caPem } = await readYardState(yard);
  if (url === undefined || token === undefined || caPem === undefined) {
    throw new Fault("yard.not-ready", `yard ${yard} has not been set up to its end`, { next: `bin/up --yard ${yard}` });
  }
  return createClient(yard, { url, token, caPem });
}

/** A client for an API at a known address. */
export function createClient(
  yard: string,
  { url, token, caPem }: { readonly url: string; readonly token: string; readonly caPem: string },
): Client {
  const dispatcher = new Agent({ connect: { ca: caPem, timeout: 5_000 } });
  return {
    yard,
    call: async (route, given: { params?: Record<string, unknown>; input?: Record<string, unknown> } = {}) => {
      const input = checkInput(route, given.input ?? {});
      const hasBody = route.method === "POST" || route.method === "PATCH";
      const query = hasBody ? "" : queryOf(input);
      const answer = await send(`${url}${pathOf(route, given.params ?? {})}${query}`, {
        method: route.method,
        headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
        body: hasBody ? JSON.stringify(input) : null,
        dispatcher,
      }).catch((cause: unknown) => {
        throw new Fault("control.unreachable", `the control service of yard ${yard} does not answer at ${url}`, {
          cause,
          next: `bin/up --yard ${yard} starts what is stopped`,
        });
      });
      if (answer.status >= 400) throw faultOf(answer);
      return route.output.parse(answer.body) as never;
    },
  };
}

async function send(url: string, options: Parameters<typeof request>[1]): Promise<{ status: number; body: unknown }> {
  const { statusCode, body } = await request(url, { ...options, headersTimeout: TIMEOUT_MS, bodyTimeout: TIMEOUT_MS });
  const text = await body.text();
  return { status: statusCode, body: text === "" ? null : JSON.parse(text) };
}

/** What the contract refuses is refused here already, with the contract's own words. */
function checkInput(route: Route, input: Record<string, unknown>): Record<string, unknown> {
  const checked = route.input.safeParse(input);
  if (checked.success) return checked.data;
  throw new Fault("input.invalid", z.prettifyError(checked.error).replaceAll("✖ ", ""));
}

function pathOf(route: Route, params: Record<string, unknown>): string {
  const checked = route.params.safeParse(params);
  if (!checked.success)
    throw new Fault(
      "input.invalid",
      checked.error.issues.map((issue) => `“${String(params[String(issue.path[0])])}”: ${issue.message}`).join("; "),
    );
  return route.path.replaceAll(/\{(\w+)\}/g, (_, name: string) => encodeURIComponent(String(params[name])));
}

function queryOf(input: Record<string, unknown>): string {
  const set = Object.entries(input).filter(([, value]) => value !== undefined);
  return set.length === 0 ? "" : `?${new URLSearchParams(Object.fromEntries(set.map(([name, value]) => [name, String(value)])))}`;
}

function faultOf({ status, body }: { status: number; body: unknown }): Fault {
  const report = ApiFault.safeParse(body);
  return report.success ? faultFromReport(report.data) : new Fault("control.error", `control answers ${status}`);
}
