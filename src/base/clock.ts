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
