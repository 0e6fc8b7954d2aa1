import { describe, expect, test } from "vitest";
import { count, duration, faultLine, faultLines, megabytes, names, serves, short, timeOfDay } from "./lines.ts";

const COMMIT = "0123456789abcdef0123456789abcdef01234567";
const servers = (amount: number): string[] => Array.from({ length: amount }, (_, index) => `b${index + 1}`);
const fault = (message: string, next: string | null = null) => ({ code: "trial.failed", message, next });

describe("people read", () => {
  test("a commit by its first seven letters, and a moment by its time of day", () => {
    expect(short(COMMIT)).toBe("0123456");
    expect(timeOfDay("2026-11-23T08:00:01.000001Z")).toBe("08:00:01.000001");
  });

  test("up to eight names, and of more the first seven and how many there are besides", () => {
    expect(names(["b1"])).toBe("b1");
    expect(names(servers(8))).toBe("b1, b2, b3, b4, b5, b6, b7, b8");
    expect(names(servers(9))).toBe("b1, b2, b3, b4, b5, b6, b7 and 2 more");
  });

  test("amounts, durations and sizes", () => {
    expect([0, 1, 2].map((amount) => count(amount, "server"))).toEqual(["0 servers", "1 server", "2 servers"]);
    expect([0.4, 312, 999.4, 999.5, 1_240].map(duration)).toEqual(["0 ms", "312 ms", "999 ms", "1.0 s", "1.2 s"]);
    expect([400_000, 9_940_000, 9_950_000, 12_400_000].map(megabytes)).toEqual(["0.4 MB", "9.9 MB", "10 MB", "12 MB"]);
  });

  test("which release a website serves, or that it has none", () => {
    expect(serves("s1", COMMIT)).toBe("s1 still serves 0123456");
    expect(serves("s1", null)).toBe("s1 has no release yet");
  });
});

describe("servers' faults", () => {
  test("are one line each, with what mends them, and name the server once", () => {
    expect(faultLine("b1", fault("no space left\non device"))).toBe("b1: no space left on device");
    expect(faultLine("b1", fault("b1 is not connected"))).toBe("b1 is not connected");
    expect(faultLine("b1", fault("b10 is not connected"))).toBe("b1: b10 is not connected");
    expect(faultLine("b1", fault("no space left", "free some"))).toBe("b1: no space left → free some");
  });

  test("of which the same is to be said name their servers together", () => {
    const full = fault("no space left", "free some");
    const faults = [
      { server: "b1", fault: full },
      { server: "b2", fault: fault("no space left") },
      { server: "b3", fault: full },
    ];
    expect(faultLines(faults)).toBe("b1, b3: no space left → free some; b2: no space left");
    expect(faultLines([])).toBe("");
  });
});
