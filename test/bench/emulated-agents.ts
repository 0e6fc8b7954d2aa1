/** Many agents in one process, for test/bench/fabric.ts: real connections, identities, signatures and validation; only roles are absent. */
import { connect } from "@nats-io/transport-node";
import { timestamp } from "#base/clock.ts";
import { silentLog } from "#base/log.ts";
import { ping } from "#contract/actions/server.ts";
import type { Enrolment } from "#contract/enrolment.ts";
import { HEARTBEAT_MS } from "#contract/status.ts";
import { connectAgent } from "#fabric/agent.ts";
import { identityCheck } from "#fabric/connection.ts";
import { credentialsForServer, type YardKeys } from "#fabric/identity.ts";
import { authenticatorFor } from "#fabric/native-keys.ts";

/** What the parent process tells this one. */
export interface Order {
  /** `plain`: responders of the NATS library alone, which answer `bytes`; the limit that the fabric is compared with. */
  readonly kind: "agents" | "plain";
  readonly servers: readonly string[];
  readonly keys: YardKeys;
  /** An enrolment whose identity is replaced by each server's own. */
  readonly enrolment: Enrolment;
  readonly bytes: string;
}

/** So many TLS handshakes at once; more only wait for each other. */
const AT_ONCE = 50;

process.once("message", (order: Order) => void join(order).then(() => process.send?.("joined")));

async function join({ kind, servers, keys, enrolment, bytes }: Order): Promise<void> {
  const queue = [...servers];
  const worker = async (): Promise<void> => {
    for (let server = queue.pop(); server !== undefined; server = queue.pop()) {
      const credentials = await credentialsForServer(keys, { server, roles: ["box"] });
      const own = { ...enrolment, server, credentials };
      await (kind === "agents" ? startAgent(own) : startPlain(own, bytes));
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
}

async function startAgent(enrolment: Enrolment): Promise<void> {
  const fabric = connectAgent(enrolment, { log: silentLog(), directory: "/dev/null/none" });
  fabric.answer(ping, async () => ({ at: timestamp(), generation: 1 }));
  await new Promise<void>((resolve) => fabric.onNudge(resolve));
  const startedAt = timestamp();
  let count = 0;
  const beat = (): void => {
    const reached = {
      count: ++count,
      generation: 1,
      targetGeneration: 1,
      roles: ["box" as const],
      faults: [],
      releases: {},
      facts: { "os.release": "13" },
    };
    fabric.putStatus({ server: enrolment.server, at: timestamp(), startedAt, ...reached }).catch(() => undefined);
  };
  setTimeout(() => setInterval(beat, HEARTBEAT_MS), Math.random() * HEARTBEAT_MS);
}

async function startPlain({ brokers, caPem, credentials, server }: Enrolment, bytes: string): Promise<void> {
  const connection = await connect({
    servers: [...brokers],
    tls: { ca: caPem, ...identityCheck(brokers) },
    authenticator: authenticatorFor(credentials),
    inboxPrefix: `_INBOX_${server}`,
    pingInterval: 60_000,
  });
  connection.subscribe(`request.${server}.>`, { callback: (_, message) => void message.respond(bytes) });
}
