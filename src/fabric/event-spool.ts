import { JetStreamApiError } from "@nats-io/jetstream";
import { timestamp } from "#base/clock.ts";
import { Fault, isFault } from "#base/fault.ts";
import type { Event } from "#contract/events.ts";
import type { ServerName } from "#contract/names.ts";
import { NEVER, Spool } from "./spool.ts";

/** What the stream of events takes is more, and what 1,000 that wait on a disk may take should be known. */
const MOST_EVENT_BYTES = 64 * 1024;
const MOST_LINE = 2_000;
/** What a broker says of a message that its stream does not take for its size. */
const MESSAGE_TOO_LARGE = 10_054;

/** The fault of what control refuses for good. */
export const NOT_TAKEN = "fabric.not-taken";

export interface EventSpoolOptions {
  /** Who tells. */
  readonly server: ServerName;
  readonly path: string;
  readonly limit?: number;
  /** An id that was published before counts for nothing. */
  readonly publish: (event: Event, id: string) => Promise<void>;
}

export type EventSpool = Pick<Spool<Event>, "add" | "flush" | "stop">;

/** Events of one emitter on their way to the stream: in order, each once, on disk while the broker does not take them. */
export function openEventSpool({ server, path, limit, publish }: EventSpoolOptions): EventSpool {
  const spool = new Spool<Event>({
    path,
    ...(limit === undefined ? {} : { limit }),
    deliver: (event, id) =>
      publish(event, `${server}-${id}`).catch((cause: unknown) => {
        throw isForEver(cause) ? new Fault(NEVER, `nobody takes an event of ${server}`, { cause }) : cause;
      }),
    lost: (count) => ({
      kind: "lost",
      at: timestamp(),
      server,
      count,
      line: `${count === 1 ? "1 event was" : `${count} events were`} lost: too many waited, or were refused for good`,
    }),
  });
  return { add: (event) => spool.add(fitted(event)), flush: () => spool.flush(), stop: () => spool.stop() };
}

function isForEver(thrown: unknown): boolean {
  return isFault(thrown, NOT_TAKEN) || (thrown instanceof JetStreamApiError && thrown.code === MESSAGE_TOO_LARGE);
}

/** The event, or, when the stream would refuse it for its size, what fits of it, and it says so. */
function fitted(event: Event): Event {
  if (sizeOf(event) <= MOST_EVENT_BYTES) return event;
  const cut = "line" in event ? { ...event, line: event.line?.slice(0, MOST_LINE) ?? "" } : event;
  if (cut.kind === "job")
    return { ...cut, line: `${cut.line.slice(0, MOST_LINE / 2)} (its result is too large to be kept)`, result: undefined };
  if (cut.kind !== "converged") return cut;
  const changed = fittingPart(cut.changed, (more) => `… and ${more} more`);
  const faults = fittingPart(cut.faults, (more) => ({ resource: "…", message: `and ${more} more` }));
  return { ...cut, changed, faults };
}

/** The first ones of a list that take no more than a share of an event's room. */
function fittingPart<T>(list: readonly T[], rest: (more: number) => T): T[] {
  const part: T[] = [];
  let room = MOST_EVENT_BYTES / 4;
  for (const one of list) {
    room -= sizeOf(one);
    if (room < 0) return [...part, rest(list.length - part.length)];
    part.push(one);
  }
  return part;
}

function sizeOf(value: unknown): number {
  return Buffer.byteLength(JSON.stringify(value));
}
