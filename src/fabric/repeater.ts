import type { ServerName } from "#contract/names.ts";
import type { Request } from "./request.ts";

/** How long after the broker is back its servers may take to be back, too. */
const ALL_BACK_MS = 10_000;

/** A server that was asked again and is not connected yet is asked once more after this long. */
const PAUSE_MS = 300;

// What answers carry is nothing to the repeater.
type AnyRequest = Pick<Request<unknown>, "underWay" | "isUnderWay">;

interface Repeated {
  readonly ask: (server: ServerName) => void;
  patientUntilMs: number;
}

/**
 * Requests under way that harm nobody when they come twice. What was on its way through a broker that is lost may never
 * arrive, and what a process was asked that has ended is never answered: whoever is back and has not answered is asked
 * once more.
 */
export class Repeater {
  readonly #requests = new Map<AnyRequest, Repeated>();
  readonly #timers = new Set<NodeJS.Timeout>();

  /** From now on `ask` may be called for servers that have not answered the request. */
  add(request: AnyRequest, ask: (server: ServerName) => void): void {
    this.#requests.set(request, { ask, patientUntilMs: 0 });
  }

  delete(request: AnyRequest): void {
    this.#requests.delete(request);
  }

  /** The broker is back. */
  repeatAll(): void {
    for (const [request, repeated] of this.#requests) {
      repeated.patientUntilMs = performance.now() + ALL_BACK_MS;
      request.underWay().forEach(repeated.ask);
    }
  }

  /** A server's process is another than the one that was asked. */
  repeatFor(server: ServerName): void {
    for (const [request, repeated] of this.#requests) {
      if (!request.isUnderWay(server)) continue;
      repeated.patientUntilMs = performance.now() + ALL_BACK_MS;
      repeated.ask(server);
    }
  }

  /** Whether a server that is not connected is asked again in a moment, because it was away with the broker. */
  willRepeat(request: AnyRequest, server: ServerName): boolean {
    const repeated = this.#requests.get(request);
    if (repeated === undefined || performance.now() > repeated.patientUntilMs) return false;
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      if (request.isUnderWay(server)) this.#requests.get(request)?.ask(server);
    }, PAUSE_MS);
    this.#timers.add(timer);
    return true;
  }

  /** Nobody is asked any more. */
  stop(): void {
    this.#requests.clear();
    for (const timer of this.#timers) clearTimeout(timer);
  }
}
