import { expect, test } from "vitest";
import { SEED } from "#harness/seed.ts";
import { VirtualClock } from "#harness/virtual-clock.ts";
import { Repeater } from "./repeater.ts";

/** A request to one server that is asked again while the server is not connected; gives for how long. */
function ask(repeater: Repeater, clock: VirtualClock, { isIdempotent = false, isMissed = false } = {}) {
  const askedAtMs: number[] = [];
  const request = { underWay: () => ["c1b1"], isUnderWay: () => true };
  const again = (): void => void repeater.willRepeat(request, "c1b1", isMissed);
  repeater.add(request, {
    isIdempotent,
    ask: () => {
      askedAtMs.push(clock.elapsedMs());
      again();
    },
  });
  return { askedAtMs, again, isPatient: () => repeater.willRepeat(request, "c1b1", isMissed) };
}

test("a server that is not connected is asked again for ten seconds after its broker is back, and only then", async () => {
  const clock = new VirtualClock(SEED);
  const repeater = new Repeater({ mayMove: false, clock });
  await clock.during(async () => {
    const { askedAtMs, again, isPatient } = ask(repeater, clock);
    await clock.sleep(1_000);
    expect(isPatient()).toBe(false);
    repeater.repeatAll();
    again();
    await clock.sleep(60_000);
    expect([askedAtMs[0], askedAtMs.length, askedAtMs.at(-1)]).toEqual([1_300, 34, 11_200]);
  });
});

test("where there are other brokers a server has three seconds to get to one, unless it is known to be silent", async () => {
  const clock = new VirtualClock(SEED);
  const repeater = new Repeater({ mayMove: true, clock });
  await clock.during(async () => {
    const [moving, missed] = [ask(repeater, clock), ask(repeater, clock, { isMissed: true })];
    for (const one of [moving, missed]) one.again();
    await clock.sleep(60_000);
    expect([moving.askedAtMs.length, moving.askedAtMs.at(-1), missed.askedAtMs]).toEqual([10, 3_000, []]);
  });
});

test("what may come twice is asked again at once when the broker is back; nobody is asked when all is over", async () => {
  const clock = new VirtualClock(SEED);
  const repeater = new Repeater({ mayMove: false, clock });
  await clock.during(async () => {
    const [twice, once] = [ask(repeater, clock, { isIdempotent: true }), ask(repeater, clock)];
    await clock.sleep(1_000);
    repeater.repeatAll();
    expect([twice.askedAtMs, once.askedAtMs]).toEqual([[1_000], []]);
    repeater.stop();
    await clock.sleep(60_000);
    expect(twice.askedAtMs).toEqual([1_000]);
  });
});
