import { type FSWatcher, watch } from "node:fs";
import { readlink } from "node:fs/promises";
import { join } from "node:path";
import { type Clock, systemClock } from "#base/clock.ts";

/** systemd keeps a link here for each service that is not at rest: `invocation:UNIT`, to the id of this run of it. */
const LINKS = "/run/systemd/units";
const LINK = /^invocation:(.+)$/;
/** A unit that is restarted is gone for a moment; several that end together are one change. */
const SETTLE_MS = 200;
/** A unit that ends again and again is started, and reported, no more often than that. */
const AGAIN_MS = 10_000;

export interface UnitWatchOptions {
  /** Called when a unit that is needed has ended. */
  readonly onEnded: () => void;
  /** Called with needed units that run again though no turn has started them: they crashed, or an operator restarted them. */
  readonly onRestarted: (units: readonly string[]) => void;
  /** systemd's own by default. */
  readonly directory?: string;
  readonly clock?: Clock;
}

/**
 * Notices within a moment that a unit has ended or runs again, without a process and without polling: the kernel reports
 * when systemd changes its links. Changes during a turn are the turn's own.
 */
export class UnitWatch {
  readonly #options: UnitWatchOptions;
  readonly #directory: string;
  readonly #clock: Clock;
  #watcher: FSWatcher | undefined;
  /** The run of each unit that is needed, as last seen; null for none, and for units that are no services. */
  #runs = new Map<string, string | null>();
  #ended = new Set<string>();
  /** When units were last reported. */
  readonly #reported = { ended: new Map<string, number>(), restarted: new Map<string, number>() };
  #isInTurn = false;
  #cancelLook: () => void = () => undefined;
  #cancelReport: () => void = () => undefined;

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
    this.#cancelReport();
    this.#watcher?.close();
  }

  /** Does the work of a turn that sees to it that these units run. Returns those that had ended before it, and run again. */
  async turn<T>(needed: readonly string[], work: () => Promise<T>): Promise<{ readonly outcome: T; readonly started: readonly string[] }> {
    this.#isInTurn = true;
    try {
      const outcome = await work();
      const ended = [...this.#ended];
      this.#ended.clear();
      await this.#remember(needed);
      return { outcome, started: ended.filter((unit) => (this.#runs.get(unit) ?? null) !== null) };
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
    for (const unit of news) this.#reported.restarted.set(unit, this.#clock.elapsedMs());
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
    for (const unit of ended) this.#ended.add(unit);
    this.#reportEnded();
  }

  /** Reports units that have ended as soon as that is not too often. */
  #reportEnded(): void {
    const early = [...this.#ended].map((unit) => this.#pauseMs("ended", unit));
    if (early.length === 0) return;
    const pauseMs = Math.min(...early);
    this.#cancelReport();
    if (pauseMs > 0) {
      this.#cancelReport = this.#clock.after(pauseMs, () => this.#reportEnded());
      return;
    }
    for (const unit of this.#ended) this.#reported.ended.set(unit, this.#clock.elapsedMs());
    this.#options.onEnded();
  }

  /** For how long it is too early to report that of the unit again. */
  #pauseMs(what: "ended" | "restarted", unit: string): number {
    const reportedMs = this.#reported[what].get(unit) ?? Number.NEGATIVE_INFINITY;
    return Math.max(0, reportedMs + AGAIN_MS - this.#clock.elapsedMs());
  }

  async #read(units: readonly string[]): Promise<Map<string, string | null>> {
    const runs = units.map(async (unit) => [unit, await readlink(join(this.#directory, `invocation:${unit}`)).catch(() => null)] as const);
    return new Map(await Promise.all(runs));
  }
}
