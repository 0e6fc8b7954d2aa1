import { readFile } from "node:fs/promises";
import { writeFileAtomic } from "#base/atomic-file.ts";
import { isFault } from "#base/fault.ts";

export interface SpoolOptions<T> {
  /** Where what waits is kept across the process's end; one JSON document a line. */
  readonly path: string;
  /** At most so many wait; of more the oldest go. */
  readonly limit?: number;
  /** How long after a failure the next delivery is tried, unless `flush` says so. */
  readonly retryMs?: number;
  /** Delivers one; throws when it cannot be delivered now, Fault `NEVER` when it never can. The id stays the same however often it is tried. */
  readonly deliver: (item: T, id: string) => Promise<void>;
  /** What stands in the place of so many that were given up. */
  readonly lost: (count: number) => T;
}

interface Waiting<T> {
  readonly id: string;
  readonly item: T;
  /** For how many it stands that were given up. */
  readonly lost?: number;
}

/** The fault of what would be refused for ever: it must not keep back what waits behind it. */
export const NEVER = "spool.undeliverable";

const LIMIT = 1_000;
const RETRY_MS = 2_000;

/**
 * Delivers items in their order, each at least once and with an id by which a second delivery is known as such. What
 * cannot be delivered waits on disk, for as long as it takes and through restarts. What is given up, because too many wait
 * or because it can never be delivered, is told of in its place.
 */
export class Spool<T> {
  readonly #options: SpoolOptions<T>;
  readonly #start = Date.now().toString(36);
  #waiting: Waiting<T>[] = [];
  /** Ids at both ends of what is on disk; null when nothing is. */
  #oldestOnDisk: string | null = null;
  #newestOnDisk: string | null = null;
  #count = 0;
  #loaded: Promise<void> | undefined;
  #turn: Promise<void> = Promise.resolve();
  /** Set while deliveries fail. */
  #retry: NodeJS.Timeout | undefined;
  #isStopped = false;

  constructor(options: SpoolOptions<T>) {
    this.#options = options;
  }

  /** Delivers after all that wait; resolves when it is delivered or safe on disk. */
  add(item: T): Promise<void> {
    return this.#next(async () => {
      await this.#load();
      this.#waiting.push({ id: this.#newId(), item });
      // Where deliveries fail one after the other nobody is kept waiting for the next to fail.
      if (this.#retry === undefined) await this.#deliver();
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

  /** What waits is the next process's. */
  stop(): void {
    this.#isStopped = true;
    clearTimeout(this.#retry);
  }

  /** One after the other; a disk that is full must not stop events that could be delivered. */
  #next(work: () => Promise<void>): Promise<void> {
    const turn = this.#turn.then(work);
    this.#turn = turn.catch(() => undefined);
    return turn;
  }

  async #deliver(): Promise<void> {
    clearTimeout(this.#retry);
    this.#retry = undefined;
    for (let first = this.#waiting[0]; first !== undefined; first = this.#waiting[0]) {
      try {
        await this.#options.deliver(first.item, first.id);
      } catch (thrown) {
        if (!isFault(thrown, NEVER)) return this.#retryLater();
        // That something is lost, too, may be what is refused: then nobody can be told.
        if (first.lost === undefined) this.#giveUp(1);
        else this.#waiting.shift();
        continue;
      }
      this.#waiting.shift();
    }
  }

  #retryLater(): void {
    if (this.#isStopped) return;
    // All servers begin to wait at one moment, and are not to come back at one.
    const afterMs = (this.#options.retryMs ?? RETRY_MS) * (0.5 + Math.random());
    this.#retry = setTimeout(() => void this.flush().catch(() => undefined), afterMs).unref();
  }

  /** The oldest go; one item in their place says how many have gone. */
  #giveUp(count: number): void {
    const gone = this.#waiting.splice(0, count).reduce((sum, { lost = 1 }) => sum + lost, 0);
    this.#waiting.unshift({ id: this.#newId(), item: this.#options.lost(gone), lost: gone });
  }

  #newId(): string {
    return `${this.#start}-${++this.#count}`;
  }

  /** Makes the file say what waits; most of the time nothing does, and nothing is written. */
  async #store(): Promise<void> {
    const { path, limit = LIMIT } = this.#options;
    // What says that others are lost needs a place, too.
    if (this.#waiting.length > limit) this.#giveUp(this.#waiting.length - limit + 1);
    const [oldest, newest] = [this.#waiting[0]?.id ?? null, this.#waiting.at(-1)?.id ?? null];
    if (oldest === this.#oldestOnDisk && newest === this.#newestOnDisk) return;
    await writeFileAtomic(path, this.#waiting.map((one) => `${JSON.stringify(one)}\n`).join(""), { mode: 0o600 });
    [this.#oldestOnDisk, this.#newestOnDisk] = [oldest, newest];
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
