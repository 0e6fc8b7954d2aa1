import { Fault } from "#base/fault.ts";
import type { Action } from "#contract/action.ts";

/**
 * One request that is being carried out: until it is done, takes too long or is ended. Most are done at once and look at
 * nothing of this, so that a signal is made only for who asks for it, and one timer is for all.
 */
export class Work {
  readonly action: Action;
  /** By performance.now(). */
  readonly until: number;
  #why: Fault | undefined;
  #ending: AbortController | undefined;
  #giveUp: ((why: Fault) => void) | undefined;

  constructor(action: Action) {
    this.action = action;
    this.until = performance.now() + action.timeoutMs;
  }

  /** Aborts when the work is ended before its time. */
  get signal(): AbortSignal {
    this.#ending ??= new AbortController();
    if (this.#why !== undefined) this.#ending.abort(this.#why);
    return this.#ending.signal;
  }

  end(why: Fault): void {
    if (this.#why !== undefined) return;
    this.#why = why;
    this.#ending?.abort(why);
    this.#giveUp?.(why);
  }

  throwIfEnded(): void {
    if (this.#why !== undefined) throw this.#why;
  }

  /** What the work gives, or why it was ended, whichever comes first. */
  orEnded<T>(given: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      this.#giveUp = reject;
      given.then(resolve, reject);
      if (this.#why !== undefined) reject(this.#why);
    });
  }
}

/** All that a server carries out at the moment, by the ids of its requests; what takes longer than its action may is ended. */
export class Works {
  readonly #byId = new Map<string, Work>();
  #timer: NodeJS.Timeout | undefined;
  #nextLook = Number.POSITIVE_INFINITY;

  begin(id: string, action: Action): Work {
    const work = new Work(action);
    this.#byId.set(id, work);
    if (work.until < this.#nextLook) this.#lookAt(work.until);
    return work;
  }

  /** It is over. */
  delete(id: string): void {
    this.#byId.delete(id);
  }

  get(id: string): Work | undefined {
    return this.#byId.get(id);
  }

  all(): [id: string, work: Work][] {
    return [...this.#byId];
  }

  /** The timer stays when what it was set for is done: to set it anew with each request would cost more than one look too many. */
  #lookAt(moment: number): void {
    clearTimeout(this.#timer);
    this.#nextLook = moment;
    this.#timer = setTimeout(() => this.#endLate(), Math.max(1, moment - performance.now())).unref();
  }

  #endLate(): void {
    this.#nextLook = Number.POSITIVE_INFINITY;
    const now = performance.now();
    for (const work of this.#byId.values())
      if (work.until <= now) work.end(new Fault("fabric.timed-out", `${work.action.name} took too long`));
    const next = Math.min(...[...this.#byId.values()].filter(({ until }) => until > now).map(({ until }) => until));
    if (next < Number.POSITIVE_INFINITY) this.#lookAt(next);
  }
}
