import type { JetStreamClient } from "@nats-io/jetstream";
import { Fault } from "#base/fault.ts";

export interface ToStore {
  readonly subject: string;
  readonly text: string;
  /** However often it is sent, it counts once. */
  readonly msgID: string;
}

/** Stores a message in the stream of its subject; resolves when as many brokers have it as must, throws when that is not known. */
export async function storeOnce(stream: JetStreamClient, { subject, text, msgID }: ToStore): Promise<void> {
  const { seq } = await stream.publish(subject, text, { msgID });
  // A broker that leads, and waits for the others, calls what it was sent again a duplicate, of a message that is not stored yet.
  if (seq === 0) throw new Fault("fabric.not-stored", "the broker does not know yet whether it has stored a message");
}
