import { expect, test } from "vitest";
import { timestamp } from "#base/clock.ts";
import { GAP_MS, HEARTBEAT_MS, REGISTRY_EXPIRY_MS } from "#contract/status.ts";
import { SEED } from "#harness/seed.ts";
import { VirtualClock } from "#harness/virtual-clock.ts";
import { Registry } from "./registry.ts";

/** A registry in virtual time, and what it tells. */
class Trial {
  readonly clock = new VirtualClock(SEED);
  readonly told: number[] = [];
  settled = 0;
  readonly registry = new Registry({
    isClustered: false,
    onRenewed: () => undefined,
    onSettled: () => this.settled++,
    clock: this.clock,
  });
  #count = 0;

  constructor() {
    this.registry.onChange(() => this.told.push(this.clock.elapsedMs()));
    this.registry.start();
  }

  /** A heartbeat arrives. */
  beat(server = "c1b1"): void {
    const startedAt = "2026-11-24T00:00:00.000000Z";
    const status = { server, at: timestamp(this.clock), startedAt, count: ++this.#count, generation: 1, targetGeneration: 1 };
    const text = JSON.stringify({ ...status, roles: ["box"], faults: [], releases: {}, facts: {} });
    this.registry.hear({ subject: `status.${server}`, data: Buffer.from(text), json: () => JSON.parse(text) });
  }

  /** Heartbeats of one server, at these moments, and then so long nothing. */
  async hear(atMs: readonly number[], restMs: number): Promise<void> {
    await this.clock.during(async () => {
      for (const at of atMs) {
        await this.clock.sleep(at - this.clock.elapsedMs());
        this.beat();
      }
      await this.clock.sleep(restMs);
    });
  }
}

test("a server that falls silent is missed within half a second of its time, not before", async () => {
  const trial = new Trial();
  await trial.hear([100, 100 + HEARTBEAT_MS], REGISTRY_EXPIRY_MS - 1);
  expect(trial.registry.has("c1b1")).toBe(true);
  await trial.hear([], 501);
  expect(trial.registry.has("c1b1")).toBe(false);
  expect(trial.registry.lastHeard("c1b1")).toBe("2026-11-24T00:00:03.100000Z");
  expect(trial.told).toHaveLength(2);
});

test("a server is heard of without a gap while one heartbeat at a time is lost, and anew after more", async () => {
  const trial = new Trial();
  await trial.hear([1_000, 1_000 + GAP_MS], 0);
  expect(trial.registry.heardSince("c1b1")).toBe("2026-11-24T00:00:01.000000Z");
  await trial.hear([1_000 + 2 * GAP_MS + 1], 0);
  expect(trial.registry.heardSince("c1b1")).toBe("2026-11-24T00:00:13.001000Z");
});

test("of servers that come back all at once it is told each, and at most twice a second that there is news", async () => {
  const trial = new Trial();
  await trial.clock.during(async () => {
    for (let nth = 0; nth < 100; nth++) {
      trial.beat(`c1b${nth}`);
      await trial.clock.sleep(10);
    }
    await trial.clock.sleep(500);
  });
  expect([trial.told.length, trial.settled]).toEqual([100, 2]);
});
