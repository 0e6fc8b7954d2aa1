import { type Clock, systemClock } from "#base/clock.ts";
import type { ServerName } from "#contract/names.ts";
import type { Request } from "./request.ts";

/** How long after the broker is back its servers may take to be back, too. */
const ALL_BACK_MS = 10_000;

/** Where there are other brokers, a server that has lost its own is at another after this long at most. */
const MOVING_MS = 3_000;

/** A server that was asked again and is not connected yet is asked once more after this long. */
const PAUSE_MS = 300;

// What answers carry is nothing to the repeater.
type AnyRequest = Pick<Request<unknown>, "underWay" | "isUnderWay">;

interface Repeated {
  readonly ask: (server: ServerName) => void;
  /** Whether it may come twice. */
  readonly isIdempotent: boolean;
  /** Whether the broker was lost while it was under way. */
  wasHit: boolean;
  readonly sinceMs: number;
  patientUntilMs: number;
}

/**
 * Requests under way. What was on its way through a broker that is lost may never arrive, and what a process was asked
 * that has ended is never answered: whoever is back and has not answered is asked once more what may come twice. And for
 * some moments after a broker is back, a server that is not connected yet is asked again whatever it was: it has heard
 * nothing.
 */
export class Repeater {
  readonly #requests = new Map<AnyRequest, Repeated>();
  /** What ends the timers that are set. */
  readonly #endings = new Set<() => void>();
  #backUntilMs = 0;
  readonly #movingMs: number;
  readonly #clock: Clock;

  /** `mayMove`: servers that lose their broker go to another one. */
  constructor({ mayMove, clock = systemClock }: { readonly mayMove: boolean; readonly clock?: Clock }) {
    this.#clock = clock;
    this.#movingMs = mayMove ? MOVING_MS : 0;
  }

  /** From now on `ask` may be called for servers that have not answered the request. */
  add(request: AnyRequest, { ask, isIdempotent }: Pick<Repeated, "ask" | "isIdempotent">): void {
    this.#requests.set(request, { ask, isIdempotent, wasHit: false, sinceMs: this.#clock.elapsedMs(), patientUntilMs: this.#backUntilMs });
  }

  delete(request: AnyRequest): void {
    this.#requests.delete(request);
  }

  /** The broker is back. */
  repeatAll(): void {
    this.#backUntilMs = this.#clock.elapsedMs() + ALL_BACK_MS;
    for (const [request, repeated] of this.#requests) {
      repeated.patientUntilMs = this.#backUntilMs;
      repeated.wasHit = true;
      if (repeated.isIdempotent) request.underWay().forEach(repeated.ask);
    }
  }

  /** A server's process, or its connection, is another than the one that was asked. */
  repeatFor(server: ServerName): void {
    for (const [request, repeated] of this.#requests) {
      if (!repeated.isIdempotent || !request.isUnderWay(server)) continue;
      repeated.patientUntilMs = this.#clock.elapsedMs() + ALL_BACK_MS;
      repeated.wasHit = true;
      repeated.ask(server);
    }
  }

  /** Whether a server that is not connected is asked again in a moment, because it was away with the broker; `isMissed`: it is known to be silent. */
  willRepeat(request: AnyRequest, server: ServerName, isMissed: boolean): boolean {
    const repeated = this.#requests.get(request);
    if (repeated === undefined) return false;
    const now = this.#clock.elapsedMs();
    const isMoving = !isMissed && now < repeated.sinceMs + this.#movingMs;
    if (!isMoving && (now > repeated.patientUntilMs || (isMissed && !repeated.wasHit))) return false;
    const end = this.#clock.after(PAUSE_MS, () => {
      this.#endings.delete(end);
      if (request.isUnderWay(server)) this.#requests.get(request)?.ask(server);
    });
    this.#endings.add(end);
    return true;
  }

  /** Whether a server may have heard of the request before the broker, or its own process, was lost. */
  wasHit(request: AnyRequest): boolean {
    return this.#requests.get(request)?.wasHit ?? true;
  }

  /** Nobody is asked any more. */
  stop(): void {
    this.#requests.clear();
    for (const end of this.#endings) end();
  }
}
