import { setTimeout as sleep } from "node:timers/promises";
import { Agent, request } from "undici";
import { Fault } from "#base/fault.ts";

/** How to reach the REST API: the daemon's socket on its own machine, or HTTPS with a client certificate. */
export type Endpoint =
  | { readonly socket: string }
  | { readonly url: string; readonly certificatePem: string; readonly keyPem: string; readonly serverCertificatePem: string };

export interface Call {
  readonly method?: "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
  readonly body?: unknown;
  readonly query?: Readonly<Record<string, string>>;
  readonly headers?: Readonly<Record<string, string>>;
  /** Sent as it is instead of `body`. */
  readonly raw?: Uint8Array;
  readonly timeoutMs?: number;
}

interface Answer {
  readonly type?: "sync" | "async" | "error";
  readonly error?: string;
  readonly error_code?: number;
  readonly metadata?: unknown;
  readonly operation?: string;
}

interface Operation {
  readonly status_code: number;
  readonly err: string;
  readonly metadata: Record<string, unknown> | null;
}

/**
 * The REST API that LXD and Incus share: https://linuxcontainers.org/incus/docs/main/rest-api/.
 * Background operations are awaited; a conflict with another operation on the same server is waited out.
 */
export class Connection {
  readonly #origin: string;
  readonly #dispatcher: Agent;
  readonly #project: string;

  constructor(endpoint: Endpoint, project: string) {
    this.#project = project;
    this.#origin = "socket" in endpoint ? "http://cloud" : endpoint.url;
    this.#dispatcher = new Agent({ connect: connectOptions(endpoint), connections: 16, headersTimeout: 0, bodyTimeout: 0 });
  }

  /** Calls and gives the answer's metadata, after the operation when there is one. */
  async call<T>(path: string, call: Call = {}): Promise<T> {
    const answer = await this.#send(path, call);
    if (answer.type === "error") throw refusal(path, call, answer);
    return (answer.type === "async" ? await this.#finish(answer.operation ?? "", call.timeoutMs ?? 300_000) : answer.metadata) as T;
  }

  /** The same, and null when the thing is not there. */
  async find<T>(path: string, call: Call = {}): Promise<T | null> {
    try {
      return await this.call<T>(path, call);
    } catch (thrown) {
      if (thrown instanceof Fault && thrown.details["status"] === 404) return null;
      throw thrown;
    }
  }

  /** The bytes of a file-like answer; null when there is none. */
  async download(path: string, query: Readonly<Record<string, string>> = {}): Promise<Uint8Array | null> {
    const response = await this.#request(path, { query });
    const bytes = new Uint8Array(await response.body.arrayBuffer());
    if (response.statusCode === 404) return null;
    if (response.statusCode !== 200) throw refusal(path, {}, parseAnswer(new TextDecoder().decode(bytes), response.statusCode));
    return bytes;
  }

  close(): Promise<void> {
    return this.#dispatcher.close();
  }

  async #send(path: string, call: Call): Promise<Answer> {
    const response = await this.#request(path, call);
    return parseAnswer(await response.body.text(), response.statusCode);
  }

  async #request(path: string, call: Call) {
    const query = new URLSearchParams({ project: this.#project, ...call.query });
    try {
      return await request(`${this.#origin}${path}?${query}`, {
        dispatcher: this.#dispatcher,
        method: call.method ?? "GET",
        headers: { "content-type": call.raw === undefined ? "application/json" : "application/octet-stream", ...call.headers },
        body: call.raw ?? (call.body === undefined ? null : JSON.stringify(call.body)),
      });
    } catch (cause) {
      throw new Fault("cloud.unreachable", `the cloud's API at ${this.#origin} does not answer`, {
        cause,
        next: "see whether the cloud daemon runs on the host (bin/up starts it)",
      });
    }
  }

  async #finish(operation: string, timeoutMs: number): Promise<unknown> {
    const answer = await this.#send(`${operation}/wait`, { query: { timeout: String(Math.ceil(timeoutMs / 1000)) } });
    const done = answer.metadata as Operation | undefined;
    if (answer.type === "error" || done === undefined) throw refusal(operation, {}, answer);
    if (done.status_code === 200) return done.metadata ?? {};
    if (done.status_code < 200) {
      // Nobody waits for it any more. Refused for operations that cannot be stopped, which changes nothing for the caller.
      await this.#send(operation, { method: "DELETE" });
      throw new Fault("cloud.failed", `the cloud has not finished an operation within ${timeoutMs / 1000} s`);
    }
    throw new Fault("cloud.failed", done.err);
  }
}

/** Repeats while the cloud says that another operation holds the server, or that its process for files has ended just then. */
export async function whenFree<T>(work: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await work();
    } catch (thrown) {
      if (attempt >= 20 || !/busy|in progress|already running a|forkfile/i.test((thrown as Error).message)) throw thrown;
      await sleep(500);
    }
  }
}

function connectOptions(endpoint: Endpoint) {
  if ("socket" in endpoint) return { socketPath: endpoint.socket };
  // The daemon's certificate is self-signed: it is pinned, its name is not asked.
  const { certificatePem: cert, keyPem: key, serverCertificatePem: ca } = endpoint;
  return { cert, key, ca, checkServerIdentity: () => undefined };
}

function parseAnswer(text: string, statusCode: number): Answer {
  try {
    return JSON.parse(text) as Answer;
  } catch {
    return { type: "error", error_code: statusCode, error: text.slice(0, 200) };
  }
}

function refusal(path: string, call: Call, answer: Answer): Fault {
  const what = `the cloud refuses ${call.method ?? "GET"} ${path}: ${answer.error ?? "without a reason"}`;
  if (answer.error_code !== 403 && answer.error_code !== 401)
    return new Fault("cloud.failed", what, { details: { status: answer.error_code } });
  return new Fault("cloud.forbidden", what, {
    next: "the yard's certificate must be trusted by the cloud daemon and allowed to use the yard's project; bin/up sets both right",
  });
}
