import { expect, test } from "vitest";
import { sayHowToRepeat } from "#harness/say-how-to-repeat.ts";
import { SEED } from "#harness/seed.ts";
import { VirtualClock } from "#harness/virtual-clock.ts";
import { createWorkers } from "./workers.ts";

/** Does it in virtual time, in an order that is another one each time. */
async function inVirtualTime(work: (clock: VirtualClock) => Promise<void>): Promise<void> {
  sayHowToRepeat();
  const clock = new VirtualClock(SEED);
  await clock.during(() => work(clock));
}

test("a website never has two workers, and a call while one runs causes another look", () =>
  inVirtualTime(async (clock) => {
    const stopping = new AbortController();
    let atOnce = 0;
    let looks = 0;
    const workers = createWorkers({
      work: async () => {
        looks++;
        expect(++atOnce).toBe(1);
        await clock.sleep(5);
        atOnce--;
        return false;
      },
      onFault: () => undefined,
      retryMs: 1,
      limit: 4,
      clock,
      signal: stopping.signal,
    });
    workers.wake("s1");
    workers.wake("s1");
    workers.wake("s1");
    await clock.sleep(40);
    expect(looks).toBe(2);
    stopping.abort();
    await workers.idle();
  }));

test("websites are worked on side by side, up to the limit, and one that fails is taken up again", () =>
  inVirtualTime(async (clock) => {
    const stopping = new AbortController();
    const faults: string[] = [];
    let atOnce = 0;
    let most = 0;
    const done = new Set<string>();
    const workers = createWorkers({
      work: async (website) => {
        most = Math.max(most, ++atOnce);
        await clock.sleep(5);
        atOnce--;
        if (website === "s2" && faults.length === 0) throw new Error("the database is away");
        done.add(website);
        return false;
      },
      onFault: (website) => faults.push(website),
      retryMs: 1,
      limit: 2,
      clock,
      signal: stopping.signal,
    });
    for (const website of ["s1", "s2", "s3", "s4"]) workers.wake(website);
    await clock.sleep(60);
    expect(most).toBe(2);
    expect(faults).toEqual(["s2"]);
    expect([...done].sort()).toEqual(["s1", "s2", "s3", "s4"]);
    stopping.abort();
    await workers.idle();
  }));

test("what a worker throws because it is to stop is no fault, and nothing is begun after that", () =>
  inVirtualTime(async (clock) => {
    const stopping = new AbortController();
    const faults: string[] = [];
    const begun: string[] = [];
    const workers = createWorkers({
      work: async (website) => {
        begun.push(website);
        await clock.sleep(5, stopping.signal);
        return true;
      },
      onFault: (website) => faults.push(website),
      retryMs: 1,
      limit: 1,
      clock,
      signal: stopping.signal,
    });
    for (const website of ["s1", "s2"]) workers.wake(website);
    stopping.abort();
    await workers.idle();
    await clock.sleep(20);
    expect({ faults, begun }).toEqual({ faults: [], begun: ["s1"] });
  }));
