import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, test } from "vitest";
import { LineWriter } from "./line-writer.ts";

describe("lines", () => {
  test("that come in one moment go out in one write, without being waited for", async () => {
    const written: string[] = [];
    const writer = new LineWriter(async (text) => written.push(text));
    for (const line of ["a", "b", "c"]) await writer.add(line);
    expect(written).toEqual([]);
    while (written.length === 0) await sleep(1);
    await writer.add("d");
    await writer.flush();
    expect(written).toEqual(["a\nb\nc\n", "d\n"]);
  });

  test("wait with whoever makes them when the reader takes nothing, and then go out together", async () => {
    const written: string[] = [];
    let take = (): void => undefined;
    const writer = new LineWriter((text) => {
      written.push(text);
      return new Promise<void>((resolve) => {
        take = resolve;
      });
    });
    await writer.add("first");
    while (written.length === 0) await sleep(1);
    await writer.add("small");
    let isTaken = false;
    const adding = writer.add("x".repeat(20_000)).then(() => {
      isTaken = true;
    });
    await sleep(50);
    expect([written.length, isTaken]).toEqual([1, false]);
    take();
    while (written.length === 1) await sleep(1);
    take();
    await adding;
    expect(written[1]?.startsWith("small\nxxx")).toBe(true);
  });
});
