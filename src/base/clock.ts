import { setTimeout as sleep } from "node:timers/promises";

/**
 * What a process knows of time, and how it waits. Code that waits or measures takes it as an option whose default is the
 * system's, so that tests run the same code in virtual time: ten times as many cases, on a slow machine as on a fast one.
 */
export interface Clock {
  /** Wall-clock time in microseconds since 1970; it jumps when it is set. */
  nowMicros(): number;
  /** Milliseconds that only ever grow, for durations and deadlines. */
  elapsedMs(): number;
  /** Resolves after this long; rejects when the signal aborts before. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
  /** Calls `act` once after this long; gives what cancels it. */
  after(ms: number, act: () => void): () => void;
}

/** The machine's clock. */
export const systemClock: Clock = {
  nowMicros,
  elapsedMs: () => performance.now(),
  sleep: (ms, signal) => sleep(ms, undefined, signal === undefined ? {} : { signal }),
  after: (ms, act) => {
    const timer = setTimeout(act, ms);
    return () => clearTimeout(timer);
  },
};

/** Date.now() tells milliseconds: within one of them, and one more for what lies between two readings, both clocks agree. */
const TOLERANCE_MICROS = 1_000;
/** What the wall clock was moved by since the process began. */
let movedMicros = 0;

/**
 * Wall-clock time in microseconds since 1970. It runs with the monotonic clock, which has the microseconds, and follows
 * the wall clock when that is set: servers act at one agreed instant, and a process that began before its server's clock
 * was set must not keep the old time for ever.
 */
export function nowMicros(): number {
  const micros = (performance.timeOrigin + performance.now()) * 1000 + movedMicros;
  const wallMicros = Date.now() * 1000;
  if (micros >= wallMicros - TOLERANCE_MICROS && micros < wallMicros + 1_000 + TOLERANCE_MICROS) return Math.round(micros);
  movedMicros += wallMicros - micros;
  return wallMicros;
}

/** Microseconds since 1970 as RFC 3339 in UTC with six decimals. */
export function timestampOf(micros: number): string {
  const millis = Math.floor(micros / 1000);
  const rest = String(micros - millis * 1000).padStart(3, "0");
  return `${new Date(millis).toISOString().slice(0, -1)}${rest}Z`;
}

/** The current time as RFC 3339 in UTC with microseconds. */
export function timestamp(clock: Pick<Clock, "nowMicros"> = systemClock): string {
  return timestampOf(clock.nowMicros());
}

/** Microseconds since 1970 of an RFC 3339 moment in UTC with at most six decimals; NaN when it is none. */
export function microsOf(moment: string): number {
  const [, seconds, decimals = ""] = /^(.+?)(?:\.(\d{1,6}))?Z$/.exec(moment) ?? [];
  return seconds === undefined ? Number.NaN : Date.parse(`${seconds}Z`) * 1000 + Number(decimals.padEnd(6, "0"));
}
