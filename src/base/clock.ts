/** Wall-clock time in microseconds since 1970, from the monotonic clock anchored at process start: it never goes back within a process. */
export function nowMicros(): number {
  return Math.round((performance.timeOrigin + performance.now()) * 1000);
}

/** Microseconds since 1970 as RFC 3339 in UTC with six decimals. */
export function timestampOf(micros: number): string {
  const millis = Math.floor(micros / 1000);
  const rest = String(micros - millis * 1000).padStart(3, "0");
  return `${new Date(millis).toISOString().slice(0, -1)}${rest}Z`;
}

/** The current time as RFC 3339 in UTC with microseconds. */
export function timestamp(): string {
  return timestampOf(nowMicros());
}

/** Microseconds since 1970 of an RFC 3339 moment in UTC with at most six decimals; NaN when it is none. */
export function microsOf(moment: string): number {
  const [, seconds, decimals = ""] = /^(.+?)(?:\.(\d{1,6}))?Z$/.exec(moment) ?? [];
  return seconds === undefined ? Number.NaN : Date.parse(`${seconds}Z`) * 1000 + Number(decimals.padEnd(6, "0"));
}
