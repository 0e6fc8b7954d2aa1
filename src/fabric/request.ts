import { Channel } from "#base/channel.ts";
import { type Clock, systemClock } from "#base/clock.ts";
import { type FaultReport, reportFault } from "#base/fault.ts";
import type { ServerName } from "#contract/names.ts";
import type { Answer, Departure, Gate, Limits, Part } from "./fabric.ts";

/** The fault of a server that the target does not mean; it never leaves the fabric. */
export const NOT_MEANT = "fabric.not-meant";

/** What a server answered, or why it did not. */
export type Result<O> = { readonly output: O; readonly fault?: never } | { readonly fault: FaultReport; readonly output?: never };

/** A reader that does not keep up with what servers send loses the oldest of it. */
const MOST_PARTS_UNREAD = 10_000;

/** Then what is written goes out, and answers are read: the first of thousands are at work while the others are asked. */
const ASKED_IN_ONE_GO = 100;

export interface RequestOptions {
  /** For people: the action's name. */
  readonly action: string;
  readonly servers: readonly ServerName[];
  /** How long one server may take from the moment it is asked. */
  readonly timeoutMs: number;
  readonly limits: Limits;
  /** Asks one server. */
  readonly send: (server: ServerName) => void;
  readonly clock?: Clock;
}

/**
 * One request to many servers: whom to ask next, whom to wait for, and when to stop. Every server gets exactly one
 * answer: its own, "fabric.timed-out" when it was silent, or "fabric.not-asked" with the reason. Only a server that says
 * that it is not meant gets none.
 */
export class Request<O, P = never> {
  readonly answers: Channel<Answer<O> | Part<P>>;
  readonly #options: RequestOptions;
  readonly #clock: Clock;
  readonly #waiting: ServerName[];
  /** Servers that were asked, with the moment until which they may answer; in the order asked, hence of that moment. */
  readonly #underWay = new Map<ServerName, number>();
  /** Servers that were asked, and were not waited for to the end. */
  readonly #givenUp: ServerName[] = [];
  readonly #startedAt: number;
  readonly #atGate = new AbortController();
  /** Servers that have passed the gate and may be at work, with what is to be called when they are not. */
  readonly #pastGate = new Map<ServerName, (how: Departure) => void>();
  /** What is known against servers that are waited for all the same. */
  readonly #known = new Map<ServerName, FaultReport>();
  /** The server that waits at the gate. */
  #next: ServerName | undefined;
  #leftInBatch: number;
  #failures = 0;
  /** What ends the timers that are set. */
  #endTimeout: (() => void) | undefined;
  #endDeadline: (() => void) | undefined;
  #endPause: (() => void) | undefined;

  constructor(options: RequestOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#startedAt = this.#clock.elapsedMs();
    // Taken from the end, which costs the same however many there are.
    this.#waiting = [...new Set(options.servers)].reverse();
    this.#leftInBatch = options.limits.batch?.size ?? Number.POSITIVE_INFINITY;
    this.answers = new Channel(options.servers.length + MOST_PARTS_UNREAD);
  }

  start(): void {
    const { deadlineMs } = this.#options.limits;
    if (deadlineMs !== undefined) this.#endDeadline = this.#clock.after(deadlineMs, () => this.#passDeadline(deadlineMs));
    this.#askMore();
  }

  /**
   * A server's answer, or why it is not waited for; a second one, or one of a server that was not asked, counts for nothing.
   * `isOwn`: the server says so itself, and is at work no more; that counts also when it comes too late.
   */
  settle(server: ServerName, result: Result<O>, { isOwn }: { readonly isOwn: boolean }): void {
    if (isOwn) this.#leaveGate(server, result.fault === undefined ? "done" : "failed");
    if (!this.#underWay.delete(server)) return;
    if (result.fault?.code !== NOT_MEANT) this.#answer(server, result);
    if (result.fault !== undefined && result.fault.code !== NOT_MEANT) this.#countFailure();
    this.#endBatch();
    this.#askMore();
  }

  /** Whether a server that has passed the gate may be at work still. */
  isPastGate(): boolean {
    return this.#pastGate.size > 0;
  }

  /** Why a server does not answer at present: it ends with this unless it answers in time. */
  excuse(server: ServerName, fault: FaultReport): void {
    this.#known.set(server, fault);
  }

  /** A part of a server's answer; one of a server that is not waited for counts for nothing. */
  takePart(server: ServerName, part: P): void {
    if (this.#underWay.has(server)) this.answers.push({ server, part } as Part<P>);
  }

  /** Servers that were asked and are waited for. */
  underWay(): ServerName[] {
    return [...this.#underWay.keys()];
  }

  isUnderWay(server: ServerName): boolean {
    return this.#underWay.has(server);
  }

  /** The same, and those that were given up. */
  unanswered(): ServerName[] {
    return [...this.#underWay.keys(), ...this.#givenUp];
  }

  /** Nobody else is asked, and nobody is waited for. */
  cancel(): void {
    this.#giveUp("fabric.cancelled", "was not waited for", "the request was cancelled before its turn");
  }

  /** Ends all timers; the answers so far stay. */
  end(): void {
    for (const endTimer of [this.#endTimeout, this.#endDeadline, this.#endPause]) endTimer?.();
    this.#atGate.abort();
    this.answers.close();
  }

  #askMore(): void {
    const { limits } = this.#options;
    const { atOnce = Number.POSITIVE_INFINITY } = limits;
    for (let asked = 0; this.#underWay.size < atOnce && this.#leftInBatch > 0 && this.#next === undefined; asked++) {
      if (asked === ASKED_IN_ONE_GO) {
        setImmediate(() => this.#askMore());
        break;
      }
      const server = this.#waiting.pop();
      if (server === undefined) break;
      this.#leftInBatch--;
      if (limits.gate === undefined) this.#ask(server);
      else void this.#askAtGate(server, limits.gate);
    }
    this.#watch();
    if (this.#underWay.size === 0 && this.#waiting.length === 0 && this.#next === undefined) this.end();
  }

  #ask(server: ServerName): void {
    this.#underWay.set(server, this.#clock.elapsedMs() + this.#options.timeoutMs);
    this.#options.send(server);
  }

  async #askAtGate(server: ServerName, gate: Gate): Promise<void> {
    this.#next = server;
    try {
      const end = await gate(server, this.#atGate.signal);
      if (this.#atGate.signal.aborted) return end("not-asked");
      this.#pastGate.set(server, end);
      this.#next = undefined;
      this.#ask(server);
    } catch (thrown) {
      if (this.#atGate.signal.aborted) return;
      this.#next = undefined;
      this.#answer(server, { fault: reportFault(thrown) });
      this.#countFailure();
    }
    this.#askMore();
  }

  /** The next batch begins when all of this one have answered, and a pause is over. */
  #endBatch(): void {
    const { batch } = this.#options.limits;
    if (batch === undefined || this.#leftInBatch > 0 || this.#underWay.size > 0 || this.#waiting.length === 0) return;
    this.#endPause = this.#clock.after(batch.pauseMs, () => {
      this.#leftInBatch = batch.size;
      this.#askMore();
    });
  }

  #countFailure(): void {
    this.#failures++;
    const { stopAfter } = this.#options.limits;
    if (stopAfter === undefined) return;
    const most = "failures" in stopAfter ? stopAfter.failures : Math.ceil((stopAfter.percent / 100) * this.#options.servers.length);
    if (this.#failures >= most) this.#askNobodyElse(`${this.#failures} of ${this.#options.servers.length} servers had failed`);
  }

  /**
   * Servers were asked in the order of their moments: the first one under way is the next to be late. One timer, which looks
   * for the next moment when it fires: to set it anew with every answer would cost more than the answer.
   */
  #watch(): void {
    if (this.#endTimeout !== undefined) return;
    const [first] = this.#underWay.values();
    if (first === undefined) return;
    this.#endTimeout = this.#clock.after(Math.max(0, first - this.#clock.elapsedMs()), () => this.#passTimeout());
  }

  #passTimeout(): void {
    this.#endTimeout = undefined;
    const { action, timeoutMs } = this.#options;
    const now = this.#clock.elapsedMs();
    for (const [server, until] of this.#underWay) {
      if (until > now) break;
      const message = `${server} has not answered ${action} within ${(timeoutMs / 1000).toFixed(1)} s`;
      this.#giveUpOn(server, this.#known.get(server) ?? { code: "fabric.timed-out", message, next: null });
    }
    this.#watch();
  }

  #passDeadline(deadlineMs: number): void {
    const passed = `the deadline of ${deadlineMs / 1000} s has passed`;
    this.#giveUp("fabric.timed-out", `has not answered ${this.#options.action}: ${passed}`, passed);
  }

  #giveUp(code: string, ofAsked: string, ofWaiting: string): void {
    this.#askNobodyElse(ofWaiting);
    for (const server of this.underWay()) this.#giveUpOn(server, { code, message: `${server} ${ofAsked}`, next: null });
    this.end();
  }

  #giveUpOn(server: ServerName, fault: FaultReport): void {
    this.#givenUp.push(server);
    this.settle(server, { fault }, { isOwn: false });
  }

  #leaveGate(server: ServerName, how: Departure): void {
    const leave = this.#pastGate.get(server);
    this.#pastGate.delete(server);
    leave?.(how);
  }

  #askNobodyElse(why: string): void {
    if (this.#next !== undefined) {
      this.#waiting.push(this.#next);
      this.#next = undefined;
      this.#atGate.abort();
    }
    for (let server = this.#waiting.pop(); server !== undefined; server = this.#waiting.pop())
      this.#answer(server, { fault: { code: "fabric.not-asked", message: `${server} was not asked: ${why}`, next: null } });
  }

  #answer(server: ServerName, result: Result<O>): void {
    this.answers.push({ server, durationMs: this.#clock.elapsedMs() - this.#startedAt, ...result });
  }
}
