import { readFile } from "node:fs/promises";
import { writeFileAtomic } from "#base/atomic-file.ts";

export interface SpoolOptions<T> {
  /** Where what waits is kept across the process's end; one JSON document a line. */
  readonly path: string;
  /** At most so many wait; of more the oldest go. */
  readonly limit?: number;
  /** Delivers one; throws when it cannot be delivered now. The id stays the same however often it is tried. */
  readonly deliver: (item: T, id: string) => Promise<void>;
}

interface Waiting<T> {
  readonly id: string;
  readonly item: T;
}

const LIMIT = 1_000;

/**
 * Delivers items in their order, each at least once and with an id by which a second delivery is known as such. What
 * cannot be delivered waits on disk until `flush`, for as long as it takes and through restarts.
 */
export class Spool<T> {
  readonly #options: SpoolOptions<T>;
  readonly #start = Date.now().toString(36);
  #waiting: Waiting<T>[] = [];
  /** Ids at both ends of what is on disk; null when nothing is. */
  #oldestOnDisk: string | null = null;
  #newestOnDisk: string | null = null;
  #count = 0;
  #dropped = 0;
  #loaded: Promise<void> | undefined;
  #turn: Promise<void> = Promise.resolve();

  constructor(options: SpoolOptions<T>) {
    this.#options = options;
  }

  /** How many were given up because too many waited. */
  get dropped(): number {
    return this.#dropped;
  }

  /** Delivers after all that wait; resolves when it is delivered or safe on disk. */
  add(item: T): Promise<void> {
    return this.#next(async () => {
      await this.#load();
      this.#waiting.push({ id: `${this.#start}-${++this.#count}`, item });
      await this.#deliver();
      await this.#store();
    });
  }

  /** Delivers what waits, as far as it goes. */
  flush(): Promise<void> {
    return this.#next(async () => {
      await this.#load();
      await this.#deliver();
      await this.#store();
    });
  }

  /** One after the other; a disk that is full must not stop events that could be delivered. */
  #next(work: () => Promise<void>): Promise<void> {
    const turn = this.#turn.then(work);
    this.#turn = turn.catch(() => undefined);
    return turn;
  }

  async #deliver(): Promise<void> {
    for (let first = this.#waiting[0]; first !== undefined; first = this.#waiting[0]) {
      try {
        await this.#options.deliver(first.item, first.id);
      } catch {
        return;
      }
      this.#waiting.shift();
    }
  }

  /** Makes the file say what waits; most of the time nothing does, and nothing is written. */
  async #store(): Promise<void> {
    const { path, limit = LIMIT } = this.#options;
    const [oldest, newest] = [this.#waiting[0]?.id ?? null, this.#waiting.at(-1)?.id ?? null];
    if (oldest === this.#oldestOnDisk && newest === this.#newestOnDisk) return;
    const surplus = this.#waiting.splice(0, Math.max(0, this.#waiting.length - limit));
    this.#dropped += surplus.length;
    await writeFileAtomic(path, this.#waiting.map((one) => `${JSON.stringify(one)}\n`).join(""), { mode: 0o600 });
    [this.#oldestOnDisk, this.#newestOnDisk] = [this.#waiting[0]?.id ?? null, newest];
  }

  #load(): Promise<void> {
    this.#loaded ??= readFile(this.#options.path, "utf8").then(
      (text) => {
        this.#waiting = text.split("\n").flatMap(parseLine<T>);
        [this.#oldestOnDisk, this.#newestOnDisk] = [this.#waiting[0]?.id ?? null, this.#waiting.at(-1)?.id ?? null];
      },
      () => undefined,
    );
    return this.#loaded;
  }
}

/** A line that was cut short, or is of an older form, is left out. */
function parseLine<T>(line: string): Waiting<T>[] {
  try {
    const one = JSON.parse(line) as Waiting<T>;
    return typeof one.id === "string" ? [one] : [];
  } catch {
    return [];
  }
}
