import fc from "fast-check";
import { afterEach, describe, expect, test, vi } from "vitest";
import { microsOf, nowMicros, systemClock, timestampOf } from "./clock.ts";

afterEach(() => vi.restoreAllMocks());

describe("the clock", () => {
  test("has microseconds, agrees with the wall clock, and does not go back while nobody sets that", () => {
    let before = nowMicros();
    const seen = new Set<number>();
    for (let reading = 0; reading < 20_000; reading++) {
      const now = nowMicros();
      expect(now).toBeGreaterThanOrEqual(before);
      seen.add(now % 1000);
      before = now;
    }
    expect(Math.abs(before / 1000 - Date.now())).toBeLessThan(5);
    expect(seen.size).toBeGreaterThan(100);
  });

  test.each([300_000, -300_000, 50])("follows the wall clock when that is set by %s ms, and goes on from there", (byMs) => {
    const real = Date.now;
    vi.spyOn(Date, "now").mockImplementation(() => real.call(Date) + byMs);
    const first = nowMicros();
    expect(Math.abs(first / 1000 - (real.call(Date) + byMs))).toBeLessThan(5);
    expect(nowMicros()).toBeGreaterThanOrEqual(first);
    vi.restoreAllMocks();
    expect(Math.abs(nowMicros() / 1000 - Date.now())).toBeLessThan(5);
  });

  test("tells moments that can be read back to the microsecond", () => {
    fc.assert(fc.property(fc.integer({ min: 0, max: 4e15 }), (micros) => microsOf(timestampOf(micros)) === micros));
    expect(microsOf("2026-11-23T08:00:00.000001Z") % 1_000_000).toBe(1);
    expect(microsOf("yesterday")).toBeNaN();
  });

  test("waits, and no longer for what is cancelled", async () => {
    const before = systemClock.elapsedMs();
    await systemClock.sleep(5);
    expect(systemClock.elapsedMs() - before).toBeGreaterThan(4);
    await expect(systemClock.sleep(60_000, AbortSignal.abort())).rejects.toThrow(/abort/);
    let acted = 0;
    const cancel = systemClock.after(1, () => void acted++);
    cancel();
    await new Promise<void>((resolve) => void systemClock.after(20, resolve));
    expect(acted).toBe(0);
  });
});
