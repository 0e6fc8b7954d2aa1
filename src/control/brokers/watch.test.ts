import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { silentLog } from "#base/log.ts";
import { until } from "#base/retry.ts";
import { startBroker, type TestBroker } from "#harness/broker.ts";
import { BrokerWatch, describeTroubles, Stuck } from "./watch.ts";

const AGREE_MS = 40_000;

let broker: TestBroker;

beforeAll(async () => {
  broker = await startBroker({ replicas: 3 });
  await broker.joinAsControl();
}, 90_000);
afterAll(() => broker.stop());

describe("three brokers", () => {
  test("are looked after: the one that is away is named with what to do, and has everything when it is back", async () => {
    const joined = broker.brokers.map((url, nth) => ({ name: `control${nth + 1}`, address: new URL(url).hostname }));
    let backs = 0;
    const watch = new BrokerWatch({
      secrets: { keys: broker.keys, authority: broker.authority },
      wanted: joined,
      joined,
      brokers: broker.brokers,
      log: silentLog(),
      everyMs: 200,
      onStuck: () => undefined,
      onBack: () => {
        backs++;
      },
    });
    watch.start();
    const states = (): string =>
      watch
        .states()
        .map(({ state }) => state)
        .join();
    await until("all to be ready", async () => (states() === "ready,ready,ready" ? true : null), { timeoutMs: AGREE_MS });
    expect(watch.troubles()).toEqual([]);
    expect(
      watch
        .states()
        .flatMap(({ leads }) => leads)
        .sort(),
    ).toEqual(["EVENTS", "PUSHES", "brokers"]);
    await broker.kill(1);
    const named = /^the broker on control2 does not answer: .* boxyard server list\)$/;
    await until("it to be named", async () => (named.test(watch.troubles()[0] ?? "") ? true : null), { timeoutMs: AGREE_MS });
    await broker.restart(1);
    await until("it to have everything", async () => (states() === "ready,ready,ready" ? true : null), { timeoutMs: AGREE_MS });
    expect(backs).toBeGreaterThanOrEqual(1);
    await watch.stop();
  }, 120_000);
});

test("what is wrong with brokers is said in words, each time with what to do", () => {
  const state = (server: string, state: "ready" | "away" | "behind" | "joining", leads: string[] = []) => ({
    server,
    address: "10.0.0.1",
    state,
    leads,
    behindBy: 0,
  });
  const [first, second, third] = [state("control1", "ready", ["brokers"]), state("control2", "away"), state("control3", "ready")];
  expect(describeTroubles([first])).toEqual([]);
  expect(describeTroubles([first, second, third])).toEqual([expect.stringMatching(/^the broker on control2 .*neither may fail now/)]);
  expect(describeTroubles([first, second, state("control3", "away")])).toEqual([
    expect.stringMatching(/^the brokers on control2 and control3 .*stored/),
  ]);
  expect(describeTroubles([first, second, state("control3", "behind")])).toEqual([
    expect.stringMatching(/^the broker on control2 .* that on control3 has not caught up: .* waits/),
  ]);
  expect(describeTroubles([first, state("control2", "joining"), state("control3", "joining")])).toEqual([expect.stringMatching(/bin\/up/)]);
  expect(describeTroubles([state("control1", "ready"), state("control2", "ready"), third])).toEqual([
    expect.stringMatching(/choosing who leads/),
  ]);
});

test("a broker is started anew that has been behind for a minute while the others were well, and not again before another minute", () => {
  const state = (server: string, state: "ready" | "away" | "behind") => ({ server, address: "10.0.0.1", state, leads: [], behindBy: 0 });
  const [behind, away] = [
    [state("control1", "ready"), state("control2", "behind"), state("control3", "ready")],
    [state("control1", "away"), state("control2", "behind"), state("control3", "ready")],
  ];
  const stuck = new Stuck();
  const found = [0, 30, 59, 60, 61, 119, 120].map((seconds) => stuck.find(behind, seconds * 1000));
  expect(found).toEqual([[], [], [], ["control2"], [], [], ["control2"]]);
  expect(stuck.find(away, 200_000)).toEqual([]);
  expect(stuck.find(behind, 201_000)).toEqual([]);
});
