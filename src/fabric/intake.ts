import type { Msg, NatsConnection } from "@nats-io/transport-node";
import { reportFault } from "#base/fault.ts";
import type { Log } from "#base/log.ts";
import { HandedIn, type Receipt } from "#contract/envelope.ts";
import { isKnownKind, readEvent } from "#contract/events.ts";
import type { ServerName } from "#contract/names.ts";
import { Push } from "#contract/push.ts";
import { jsonOf, listen } from "./listen.ts";
import type { StreamWriter } from "./stream-writer.ts";
import { eventSubject, subjects } from "./subjects.ts";

export interface IntakeOptions {
  readonly connection: NatsConnection;
  readonly writer: Pick<StreamWriter, "store">;
  readonly log: Log;
  /** A server's spec as it goes over the wire; null when there is none. */
  readonly specFor: (server: ServerName, certificatePem: string) => string | null;
}

/** What control stores for a server. */
interface Stored {
  readonly subject: string;
  readonly body: unknown;
}

type Answer = (server: ServerName, message: Msg) => Promise<string>;

/** Far more than servers have to say. */
const MOST_BYTES = 256 * 1024;
const NO_RECEIPT: Receipt = { refused: null };

/**
 * Takes what servers hand in, events and pushes, into the streams, and gives them their specs. Servers reach no stream by
 * themselves: whoever may write to one can make the broker write an acknowledgement to any subject that he names as the one
 * to reply to, and the broker's own commands are subjects, too.
 */
export class Intake {
  readonly #options: IntakeOptions;

  constructor(options: IntakeOptions) {
    this.#options = options;
  }

  start(): void {
    this.#answer(subjects.allHandedIn("event"), (server, message) => this.#store(server, message, eventOf));
    this.#answer(subjects.allHandedIn("push"), (server, message) => this.#store(server, message, pushOf));
    this.#answer(subjects.allHandedIn("spec"), async (server, message) => this.#give(server, message));
  }

  #answer(subject: string, answer: Answer): void {
    const { connection, log } = this.#options;
    listen({ connection, subject, log }, (message) => {
      const server = message.subject.split(".")[1] ?? "";
      // Control may publish everywhere: it is not to be sent there by a server.
      if (!message.reply?.startsWith(`${subjects.inboxOf(server)}.`)) return;
      if (message.data.length > MOST_BYTES) return void message.respond(refusal("it is too large"));
      answer(server, message)
        .then((text) => message.respond(text))
        // Without an answer it comes again.
        .catch((thrown: unknown) => log.warn({ server, fault: reportFault(thrown) }, "not answered"));
    });
  }

  #give(server: ServerName, message: Msg): string {
    try {
      return this.#options.specFor(server, message.string()) ?? "";
    } catch (thrown) {
      this.#options.log.warn({ server, fault: reportFault(thrown) }, "spec not given");
      return refusal(reportFault(thrown).message);
    }
  }

  async #store(server: ServerName, message: Msg, read: (server: ServerName, body: unknown) => Stored | null): Promise<string> {
    const handed = HandedIn.safeParse(jsonOf(message));
    const stored = handed.success ? read(server, handed.data.body) : null;
    if (!handed.success || stored === null) {
      this.#options.log.warn({ server, subject: message.subject }, "handed in, and not the server's to tell: left out");
      return refusal("control takes no such thing from this server");
    }
    const { subject, body } = stored;
    await this.#options.writer.store({ subject, text: JSON.stringify(body), msgID: `${server}-${handed.data.id}` });
    return JSON.stringify(NO_RECEIPT);
  }
}

/** What only control says. */
const OF_CONTROL: readonly string[] = ["deployment", "server"];

/** What agents tell, each of itself; also what this version does not know yet, as it is. */
function eventOf(server: ServerName, body: unknown): Stored | null {
  const event = readEvent(body);
  if (event === null || event.server !== server || OF_CONTROL.includes(event.kind)) return null;
  if (event.kind !== "unknown") return { subject: eventSubject(server, event), body: event };
  return isKnownKind(event.of) ? null : { subject: eventSubject(server, event), body };
}

function pushOf(server: ServerName, body: unknown): Stored | null {
  const push = Push.safeParse(body);
  return push.success && push.data.server === server ? { subject: subjects.push(server, push.data.website), body: push.data } : null;
}

function refusal(why: string): string {
  return JSON.stringify({ refused: why } satisfies Receipt);
}
