import type { IncomingMessage } from "node:http";
import { Agent, request } from "node:https";
import type { TLSSocket } from "node:tls";

export interface HttpOptions {
  /** Who has signed the certificate of who is to answer. */
  readonly caPem: string;
  /** How long a connection may take, and how long nothing may come once it stands; 0 for ever. */
  readonly connectTimeoutMs: number;
}

interface Sent {
  readonly method: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string | null;
  readonly silenceMs: number;
}

/** The code of an error about an answer that did not come, or did not end, in time. */
export const ANSWER_TIMEOUT = "ANSWER_TIMEOUT";

/**
 * Sends requests over connections that are kept; gives each answer when it begins. Node's own client, because it is there
 * already: to load another takes a command as long as its request.
 */
export function httpSender({ caPem, connectTimeoutMs }: HttpOptions): (url: string, sent: Sent) => Promise<IncomingMessage> {
  const agent = new Agent({ ca: caPem, keepAlive: true });
  return (url, { method, headers, body, silenceMs }) =>
    new Promise((resolve, reject) => {
      const length = body === null ? {} : { "content-length": String(Buffer.byteLength(body)) };
      const sending = request(url, { method, agent, headers: { ...headers, ...length } }, resolve);
      sending.once("error", reject);
      sending.once("socket", (socket) => void limitConnecting(socket as TLSSocket, connectTimeoutMs));
      if (silenceMs > 0) sending.setTimeout(silenceMs, () => sending.destroy(failure(ANSWER_TIMEOUT, "the answer did not come in time")));
      sending.end(body ?? undefined);
    });
}

function limitConnecting(socket: TLSSocket, limitMs: number): void {
  if (!socket.connecting) return;
  const timer = setTimeout(() => socket.destroy(failure("CONNECT_TIMEOUT", "the connection did not come about in time")), limitMs);
  for (const event of ["secureConnect", "close"]) socket.once(event, () => clearTimeout(timer));
}

function failure(code: string, message: string): Error {
  return Object.assign(new Error(message), { code });
}
