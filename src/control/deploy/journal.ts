import { reportFault } from "#base/fault.ts";
import type { Event } from "#contract/events.ts";
import { appendEvents } from "../store/deployments.ts";
import type { DeployContext } from "./context.ts";

/**
 * What happens in one deployment, in order: every event is published at once, without anybody waiting for it, and
 * stored soon after, or together with the next move.
 */
export interface Journal {
  note(event: Event): void;
  /** Publishes an event that a move has stored. */
  publish(event: Event): void;
  /** Stores what is not stored yet by `store`, which puts it where it belongs in one transaction of its own. */
  storeWith<T>(store: (events: readonly Event[]) => Promise<T>): Promise<T>;
}

/** Opens the journal of one deployment. */
export function openJournal({ store, fabric, log }: DeployContext, deployment: number): Journal {
  let pending: Event[] = [];
  let storing: Promise<unknown> = Promise.resolve();
  let publishing: Promise<void> = Promise.resolve();

  function storeWith<T>(write: (events: readonly Event[]) => Promise<T>): Promise<T> {
    const turn = storing.then(async () => {
      const events = pending;
      pending = [];
      try {
        return await write(events);
      } catch (thrown) {
        pending = [...events, ...pending];
        throw thrown;
      }
    });
    storing = turn.catch(() => undefined);
    return turn;
  }

  function publish(event: Event): void {
    publishing = publishing.then(() =>
      fabric.publishEvent(event).catch((thrown: unknown) => log.warn({ deployment, fault: reportFault(thrown) }, "event not published")),
    );
  }

  return {
    publish,
    storeWith,
    note: (event) => {
      pending.push(event);
      publish(event);
      storeWith((events) => appendEvents(store, deployment, events)).catch((thrown: unknown) =>
        log.warn({ deployment, fault: reportFault(thrown) }, "events not stored yet"),
      );
    },
  };
}
