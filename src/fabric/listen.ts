import type { Msg, NatsConnection, Subscription } from "@nats-io/transport-node";
import { reportFault } from "#base/fault.ts";
import type { Log } from "#base/log.ts";

export interface Listening {
  readonly connection: NatsConnection;
  readonly subject: string;
  readonly log: Log;
}

/** Listens to a subject. What `take` throws is logged and goes no further: the library would end the whole connection's reading with it. */
export function listen({ connection, subject, log }: Listening, take: (message: Msg) => void): Subscription {
  return connection.subscribe(subject, {
    callback: (error, message) => {
      if (error !== null) return;
      try {
        take(message);
      } catch (thrown) {
        log.warn({ subject: message.subject, fault: reportFault(thrown) }, "message not taken");
      }
    },
  });
}

/** What a message says as JSON; undefined when it is none, which no schema takes. */
export function jsonOf(message: Pick<Msg, "json">): unknown {
  try {
    return message.json();
  } catch {
    return undefined;
  }
}
