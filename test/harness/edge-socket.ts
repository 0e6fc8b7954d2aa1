import { connect as connectHttp2 } from "node:http2";
import { setTimeout as sleep } from "node:timers/promises";
import { connect, type TLSSocket } from "node:tls";
import { edgeOfYard } from "./visitor.ts";

/** A visitor's connection to the edge, for what no HTTP client would send. */
export async function connectToEdge(domain: string): Promise<TLSSocket> {
  const { address, ca } = await edgeOfYard();
  return connect({ host: address, port: 443, servername: domain, ca, ALPNProtocols: ["http/1.1"] }).setEncoding("utf8");
}

/** Sends pieces, with a pause before each but the first, and gives the answer; the head should ask for the connection to end. */
export async function sendPieces(domain: string, pieces: readonly (string | Buffer)[], pauseMs = 0): Promise<string> {
  const socket = await connectToEdge(domain);
  const answer = socket.toArray();
  for (const [nth, piece] of pieces.entries()) {
    if (nth > 0) await sleep(pauseMs);
    socket.write(piece);
  }
  return (await answer).join("");
}

/** Uploads over HTTP/2 without saying how long the body is. */
export async function uploadOverHttp2(domain: string, path: string, body: Buffer): Promise<string> {
  const { address, ca } = await edgeOfYard();
  const session = connectHttp2(`https://${address}`, { ca, servername: domain });
  try {
    const stream = session.request({ ":method": "POST", ":path": path, ":authority": domain });
    stream.setEncoding("utf8").end(body);
    return (await stream.toArray()).join("");
  } finally {
    session.destroy();
  }
}
