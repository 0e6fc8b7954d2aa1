import { randomUUID } from "node:crypto";
import { checkServerIdentity } from "node:tls";
import { type ConnectionOptions, connect, type NatsConnection } from "@nats-io/transport-node";
import type { Log } from "#base/log.ts";
import { authenticatorFor, type Credentials } from "./native-keys.ts";
import { subjects } from "./subjects.ts";

export interface BusOptions {
  /** Read at each attempt: what is added later counts, too. */
  readonly brokers: readonly string[];
  readonly credentials: Credentials;
  readonly caPem: string;
  /** Name of the connection and of its inbox. */
  readonly name: string;
  readonly log: Log;
  /** Tries once, for so long, instead of waiting for the broker for ever. */
  readonly onceMs?: number;
}

const CONNECT_MS = 3_000;

/** Connects to the bus and stays connected: waits for the broker, comes back after every loss, for ever. */
export async function connectBus({ brokers, credentials, caPem, name, log, onceMs }: BusOptions): Promise<NatsConnection> {
  const options: ConnectionOptions = {
    servers: [...brokers],
    tls: { ca: caPem, ...identityCheck(brokers) },
    authenticator: authenticatorFor(credentials),
    name,
    // Nobody is to guess where a connection waits for an answer: any server can make the broker's words go to a subject that it knows.
    inboxPrefix: `${subjects.inboxOf(name)}.${randomUUID()}`,
    waitOnFirstConnect: true,
    maxReconnectAttempts: -1,
    // Whom to trust as a broker is said by control, and signed; not by whoever is a broker already.
    ignoreClusterUpdates: true,
    reconnectTimeWait: 500,
    reconnectJitter: 500,
    reconnectJitterTLS: 500,
    // An attempt that began while the network was cut must not outlast the cut by much.
    timeout: CONNECT_MS,
    pingInterval: 5_000,
    maxPingOut: 2,
    ignoreAuthErrorAbort: true,
    ...(onceMs === undefined ? {} : { waitOnFirstConnect: false, reconnect: false, timeout: onceMs }),
  };
  const connection = await connect(options);
  void logStatus(connection, log);
  return connection;
}

/**
 * The library names the peer "localhost" where a broker is given by address. Its options are handed to node:tls as they
 * are, so that the certificate is checked for what it must be: one of the brokers.
 */
export function identityCheck(brokers: readonly string[]): { checkServerIdentity: typeof checkServerIdentity } {
  return {
    checkServerIdentity: (_, certificate) => {
      const refusals = brokers.map((broker) => checkServerIdentity(new URL(broker).hostname, certificate));
      return refusals.includes(undefined) ? undefined : refusals[0];
    },
  };
}

async function logStatus(connection: NatsConnection, log: Log): Promise<void> {
  for await (const status of connection.status()) {
    if (status.type === "disconnect") log.warn("broker lost");
    if (status.type === "reconnect") log.info("broker back");
    if (status.type === "error") log.warn({ error: String(status.error) }, "broker refuses");
  }
}
