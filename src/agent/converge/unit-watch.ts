import { type FSWatcher, watch } from "node:fs";
import { readlink } from "node:fs/promises";
import { join } from "node:path";
import { type Clock, systemClock } from "#base/clock.ts";

/** systemd keeps a link here for each service that is not at rest: `invocation:UNIT`, to the id of this run of it. */
const LINKS = "/run/systemd/units";
const LINK = /^invocation:(.+)$/;
/** A unit that is restarted is gone for a moment; several that end together are one change. */
const SETTLE_MS = 200;
/** One that ends again and again is started, and told, no more often than that. */
const AGAIN_MS = 10_000;

export interface UnitWatchOptions {
  /** Told when a unit that is needed has ended. */
  readonly onEnded: () => void;
  /** Told of units that are needed and run anew though no turn has started them: they crashed, or somebody restarted them. */
  readonly onRestarted: (units: readonly string[]) => void;
  /** systemd's own by default. */
  readonly directory?: string;
  readonly clock?: Clock;
}

/**
 * Notices within a moment that a unit has ended or runs anew, without a process and without asking: the kernel says when
 * systemd changes its links. Changes during a turn are the turn's own.
 */
export class UnitWatch {
  readonly #options: UnitWatchOptions;
  readonly #directory: string;
  readonly #clock: Clock;
  #watcher: FSWatcher | undefined;
  /** The run of each unit that is needed, as last seen; null for none, and for units that are no services. */
  #runs = new Map<string, string | null>();
  #ended = new Set<string>();
  /** When units were last told of. */
  readonly #told = { ended: new Map<string, number>(), restarted: new Map<string, number>() };
  #isInTurn = false;
  #cancelLook: () => void = () => undefined;
  #cancelTold: () => void = () => undefined;

  constructor(options: UnitWatchOptions) {
    this.#options = options;
    this.#directory = options.directory ?? LINKS;
    this.#clock = options.clock ?? systemClock;
  }

  start(): void {
    try {
      this.#watcher = watch(this.#directory, (_event, name) => this.#notice(name));
      this.#watcher.on("error", () => this.stop());
    } catch {
      // A machine without systemd has nothing to watch: the agent's regular turns are left.
    }
  }

  stop(): void {
    this.#cancelLook();
    this.#cancelTold();
    this.#watcher?.close();
  }

  /** Does the work of a turn that sees to it that these units run. Returns those that had ended before it. */
  async turn<T>(needed: readonly string[], work: () => Promise<T>): Promise<{ readonly outcome: T; readonly ended: readonly string[] }> {
    this.#isInTurn = true;
    try {
      const outcome = await work();
      const ended = [...this.#ended];
      this.#ended.clear();
      await this.#remember(needed);
      return { outcome, ended };
    } finally {
      this.#isInTurn = false;
    }
  }

  #notice(name: string | null): void {
    const unit = LINK.exec(name ?? "")?.[1];
    if (unit === undefined || !this.#runs.has(unit) || this.#isInTurn) return;
    this.#cancelLook();
    this.#cancelLook = this.#clock.after(SETTLE_MS, () => void this.#look());
  }

  async #look(): Promise<void> {
    const before = this.#runs;
    const now = await this.#read([...before.keys()]);
    if (this.#isInTurn || this.#runs !== before) return;
    this.#runs = now;
    const restarted = [...now].filter(([unit, run]) => run !== null && run !== before.get(unit)).map(([unit]) => unit);
    this.#noteEnded(before, now);
    const news = restarted.filter((unit) => this.#pauseMs("restarted", unit) === 0);
    for (const unit of news) this.#told.restarted.set(unit, this.#clock.elapsedMs());
    if (news.length > 0) this.#options.onRestarted(news);
  }

  async #remember(needed: readonly string[]): Promise<void> {
    const before = this.#runs;
    this.#runs = await this.#read(needed);
    this.#noteEnded(before, this.#runs);
  }

  #noteEnded(before: ReadonlyMap<string, string | null>, now: ReadonlyMap<string, string | null>): void {
    const ended = [...now].filter(([unit, run]) => run === null && (before.get(unit) ?? null) !== null).map(([unit]) => unit);
    if (ended.length === 0) return;
    const pauseMs = Math.min(...ended.map((unit) => this.#pauseMs("ended", unit)));
    for (const unit of ended) {
      this.#ended.add(unit);
      this.#told.ended.set(unit, this.#clock.elapsedMs());
    }
    this.#cancelTold();
    if (pauseMs === 0) this.#options.onEnded();
    else this.#cancelTold = this.#clock.after(pauseMs, () => this.#options.onEnded());
  }

  /** For how long it is too early to tell that of the unit again. */
  #pauseMs(what: "ended" | "restarted", unit: string): number {
    const toldMs = this.#told[what].get(unit) ?? Number.NEGATIVE_INFINITY;
    return Math.max(0, toldMs + AGAIN_MS - this.#clock.elapsedMs());
  }

  async #read(units: readonly string[]): Promise<Map<string, string | null>> {
    const runs = units.map(async (unit) => [unit, await readlink(join(this.#directory, `invocation:${unit}`)).catch(() => null)] as const);
    return new Map(await Promise.all(runs));
  }
}
