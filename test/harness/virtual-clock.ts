import type { Clock } from "#base/clock.ts";

/** After the moments that tests give to pushes. */
const BEGIN_MICROS = Date.parse("2026-11-24T00:00:00Z") * 1000;
/** Work in the outer world that takes longer may itself wait for time to pass. */
const PATIENCE_MS = 50;
/** Turns of the event loop after which whatever was to happen at this moment has happened, or is work in the outer world. */
const TURNS = 2;

interface Timer {
  readonly dueMs: number;
  /** Among those of one moment, the seed says which comes first. */
  readonly draw: number;
  readonly nth: number;
  readonly act: () => void;
}

/** Work that virtual time cannot hasten: a query, the opening of a connection. */
interface Outside {
  readonly ended: Promise<void>;
  /** Whether it did so when it was last asked. */
  wasStuck: boolean;
  /** Whether it waits for something that only the passing of time can bring, like a lock of a transaction that sleeps. */
  readonly isStuck: () => Promise<boolean>;
}

/**
 * A clock whose time passes only when nothing else is left to do: nobody waits for the machine, and how slow it is changes
 * nothing. Everything happens one after the other, in an order that the seed gives: the same seed, the same run.
 *
 * Work in the outer world goes through `outside`, which holds time until it has ended.
 */
export class VirtualClock implements Clock {
  readonly #random: () => number;
  #elapsedMs = 0;
  #nth = 0;
  readonly #timers: Timer[] = [];
  readonly #cancelled = new WeakSet<Timer>();
  readonly #outside = new Set<Outside>();
  /** Work in the outer world that has begun, or waits for its moment. */
  #unfinished = 0;
  #isRunning = false;
  #driving: Promise<void> | undefined;
  #wake: () => void = () => undefined;

  constructor(seed: number) {
    this.#random = randomFrom(seed);
  }

  nowMicros(): number {
    return Math.round(BEGIN_MICROS + this.#elapsedMs * 1000);
  }

  elapsedMs(): number {
    return this.#elapsedMs;
  }

  /** A number from 0 to below 1, from the seed. */
  random(): number {
    return this.#random();
  }

  after(ms: number, act: () => void): () => void {
    const timer = { dueMs: this.#elapsedMs + Math.max(0, ms), draw: this.#random(), nth: this.#nth++, act };
    insert(this.#timers, timer);
    this.#wake();
    return () => void this.#cancelled.add(timer);
  }

  async sleep(ms: number, signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted();
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const cancel = this.after(ms, resolve);
    const onAbort = (): void => {
      cancel();
      reject(signal?.reason);
    };
    signal?.addEventListener("abort", onAbort, { once: true });
    try {
      await promise;
    } finally {
      signal?.removeEventListener("abort", onAbort);
    }
  }

  /** Does work in the outer world, alone, at a moment that the seed gives within `latencyMs`; time stands still meanwhile. */
  async outside<T>(work: () => Promise<T>, { latencyMs = 0, isStuck = async () => false }: OutsideOptions = {}): Promise<T> {
    this.#unfinished++;
    await this.sleep(this.#random() * latencyMs);
    const { promise: ended, resolve } = Promise.withResolvers<void>();
    const one: Outside = { ended, isStuck, wasStuck: false };
    this.#outside.add(one);
    try {
      return await work();
    } finally {
      this.#outside.delete(one);
      this.#unfinished--;
      resolve();
    }
  }

  /** From now on time passes. */
  start(): void {
    this.#isRunning = true;
    this.#driving ??= this.#drive();
  }

  /** Time stands still as soon as what has begun in the outer world has ended there: nobody else is to find a query half done. */
  async stop(): Promise<void> {
    this.#isRunning = false;
    this.#wake();
    await this.#driving;
    this.#driving = undefined;
  }

  /** Time passes until this is done. */
  async during<T>(work: () => Promise<T>): Promise<T> {
    this.start();
    try {
      return await work();
    } finally {
      await this.stop();
    }
  }

  async #drive(): Promise<void> {
    for (;;) {
      await this.#settle();
      if (!this.#isRunning && (this.#unfinished === 0 || this.#timers.length === 0)) return;
      const timer = this.#timers.pop();
      if (timer === undefined) await this.#somethingToDo();
      else if (!this.#cancelled.has(timer)) {
        this.#elapsedMs = Math.max(this.#elapsedMs, timer.dueMs);
        timer.act();
      }
    }
  }

  /** Resolves when all that can happen at this moment has happened. */
  async #settle(): Promise<void> {
    for (let turn = 0; turn < TURNS; turn++) {
      await new Promise(setImmediate);
      for (const one of this.#outside) if (await hasEnded(one)) turn = -1;
    }
  }

  async #somethingToDo(): Promise<void> {
    while (this.#isRunning && this.#timers.length === 0)
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
  }
}

interface OutsideOptions {
  readonly latencyMs?: number;
  readonly isStuck?: Outside["isStuck"];
}

/** Resolves when it has ended, or is stuck. */
async function hasEnded(one: Outside): Promise<boolean> {
  for (;;) {
    if (!one.wasStuck && (await endsWithin(one.ended, PATIENCE_MS))) return true;
    one.wasStuck = await one.isStuck();
    if (one.wasStuck) return false;
  }
}

async function endsWithin(ended: Promise<void>, ms: number): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined;
  const isLate = new Promise<false>((resolve) => {
    timer = setTimeout(() => resolve(false), ms);
  });
  const isOver = await Promise.race([ended.then(() => true), isLate]);
  clearTimeout(timer);
  return isOver;
}

/** Keeps the next timer last. */
function insert(timers: Timer[], timer: Timer): void {
  let [low, high] = [0, timers.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (isLater(timers[middle] as Timer, timer)) low = middle + 1;
    else high = middle;
  }
  timers.splice(low, 0, timer);
}

function isLater(a: Timer, b: Timer): boolean {
  return a.dueMs - b.dueMs > 0 || (a.dueMs === b.dueMs && (a.draw > b.draw || (a.draw === b.draw && a.nth > b.nth)));
}

/** Numbers that look random and are always the same for a seed (mulberry32). */
export function randomFrom(seed: number): () => number {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}
