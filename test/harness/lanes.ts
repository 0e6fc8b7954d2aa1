/** Hands out what only one may use at a time: who finds none waits for the next one that is given back. */
export class Lanes<T> {
  readonly #free: T[];
  readonly #waiting: ((lane: T) => void)[] = [];

  constructor(lanes: readonly T[]) {
    this.#free = [...lanes];
  }

  /** Does the work with one of them. */
  async on<R>(work: (lane: T) => Promise<R>): Promise<R> {
    const lane = this.#free.shift() ?? (await new Promise<T>((resolve) => this.#waiting.push(resolve)));
    try {
      return await work(lane);
    } finally {
      const next = this.#waiting.shift();
      if (next === undefined) this.#free.push(lane);
      else next(lane);
    }
  }
}
