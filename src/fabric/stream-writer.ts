import type { JetStreamClient } from "@nats-io/jetstream";
import { Fault, renderFault } from "#base/fault.ts";

export interface ToStore {
  readonly subject: string;
  readonly text: string;
  /** However often it is sent, it counts once. */
  readonly msgID: string;
}

/** Stores messages in the streams of their subjects, and remembers why it could not. */
export class StreamWriter {
  readonly #stream: JetStreamClient;
  #trouble: string | null = null;

  constructor(stream: JetStreamClient) {
    this.#stream = stream;
  }

  /** Resolves when as many brokers have it as must, throws when that is not known. */
  async store({ subject, text, msgID }: ToStore): Promise<void> {
    try {
      const { seq } = await this.#stream.publish(subject, text, { msgID });
      // A broker that leads, and waits for the others, calls what it was sent again a duplicate, of a message that is not stored yet.
      if (seq === 0) throw new Fault("fabric.not-stored", "the broker does not know yet whether it has stored a message");
      this.#trouble = null;
    } catch (thrown) {
      const why = renderFault(thrown).replaceAll("\n", " ");
      this.#trouble = `the broker does not store events and pushes, which wait where they were made: ${why}`;
      throw thrown;
    }
  }

  /** Why the last message was not stored; null when it was. */
  trouble(): string | null {
    return this.#trouble;
  }
}
