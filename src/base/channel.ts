/** Values handed from callbacks to one `for await`; unread values wait, `close` ends the reader after them. */
export class Channel<T> implements AsyncIterable<T> {
  readonly #waiting: T[] = [];
  readonly #limit: number;
  #wake: (() => void) | undefined;
  #isClosed = false;

  /** When `limit` values wait unread the oldest is dropped: a reader that has gone must not cost memory. */
  constructor(limit = 10_000) {
    this.#limit = limit;
  }

  push(value: T): void {
    if (this.#isClosed) return;
    this.#waiting.push(value);
    if (this.#waiting.length > this.#limit) this.#waiting.shift();
    this.#wake?.();
  }

  close(): void {
    this.#isClosed = true;
    this.#wake?.();
  }

  async *[Symbol.asyncIterator](): AsyncIterator<T> {
    for (;;) {
      while (this.#waiting.length > 0) yield this.#waiting.shift() as T;
      if (this.#isClosed) return;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }
}
