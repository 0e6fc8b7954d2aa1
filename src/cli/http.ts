import type { IncomingMessage } from "node:http";
import { Agent, request } from "node:https";
import type { TLSSocket } from "node:tls";

export interface HttpOptions {
  /** Who has signed the certificate of who is to answer. */
  readonly caPem: string;
  /** How long a connection may take. */
  readonly connectTimeoutMs: number;
}

interface Sent {
  readonly method: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string | null;
  /** How long nothing may come once the connection stands; 0 for ever. */
  readonly silenceMs: number;
}

/** One address that answers. */
export interface Endpoint {
  readonly url: string;
  /** Sends a request over a connection that is kept; gives the answer when it begins. */
  send(path: string, sent: Sent): Promise<IncomingMessage>;
  /** Ends all connections, and the requests under way on them; what is sent later makes a new one. */
  close(): void;
}

/** The code of an error about an answer that did not come, or did not end, in time. */
export const ANSWER_TIMEOUT = "ANSWER_TIMEOUT";

/** Errors of requests for which no connection came about. */
const unsent = new WeakSet<Error>();

/** Whether a request that failed with this error has certainly not reached who was asked. */
export function wasUnsent(cause: unknown): boolean {
  return cause instanceof Error && unsent.has(cause);
}

/** Node's own client, because it is there already: to load another takes a command as long as its request. */
export function openEndpoint(url: string, { caPem, connectTimeoutMs }: HttpOptions): Endpoint {
  const agent = new Agent({ ca: caPem, keepAlive: true });
  const send: Endpoint["send"] = (path, { method, headers, body, silenceMs }) =>
    new Promise((resolve, reject) => {
      const length = body === null ? {} : { "content-length": String(Buffer.byteLength(body)) };
      let isConnected = false;
      const sending = request(`${url}${path}`, { method, agent, headers: { ...headers, ...length } }, resolve);
      sending.on("error", (cause) => {
        if (!isConnected) unsent.add(cause);
        reject(cause);
      });
      sending.once("socket", (socket) => onceConnected(socket as TLSSocket, connectTimeoutMs, () => (isConnected = true)));
      if (silenceMs > 0) sending.setTimeout(silenceMs, () => sending.destroy(failure(ANSWER_TIMEOUT, "the answer did not come in time")));
      sending.end(body ?? undefined);
    });
  return { url, send, close: () => agent.destroy() };
}

/** The whole text of an answer. */
export async function textOf(answered: IncomingMessage): Promise<string> {
  let text = "";
  for await (const chunk of answered.setEncoding("utf8")) text += chunk;
  return text;
}

function onceConnected(socket: TLSSocket, limitMs: number, listener: () => void): void {
  if (!socket.connecting) {
    listener();
    return;
  }
  const timer = setTimeout(() => socket.destroy(failure("CONNECT_TIMEOUT", "the connection did not come about in time")), limitMs);
  socket.once("close", () => clearTimeout(timer));
  socket.once("secureConnect", () => {
    clearTimeout(timer);
    listener();
  });
}

function failure(code: string, message: string): Error {
  return Object.assign(new Error(message), { code });
}
