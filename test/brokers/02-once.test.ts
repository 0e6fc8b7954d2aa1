// Takes over two minutes: after each fault it is waited until all servers are heard of again.
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, describe, test } from "vitest";
import {
  giveBrokerItsDisk,
  killService,
  serviceStartedAt,
  whileBrokerIsFull,
  whileCutOff,
  whileFrozen,
  withWrongClock,
} from "#harness/faults.ts";
import { expectOnceWhile } from "#harness/once.ts";
import { allAreBack } from "#harness/requests.ts";
import { readInServer } from "#harness/servers.ts";
import { eventually } from "#harness/yard.ts";

/** When control, which was started again, had joined the bus: before that it can hear nobody. */
async function controlJoinedAt(sinceMs: number): Promise<number> {
  return eventually("control to join the bus", async () => {
    const said = await readInServer("control1", "journalctl", "-q", "-o", "cat", "-n", "200", "-u", "boxyard-control");
    const joined = said.split("\n").filter((line) => line.includes('"bus joined"'));
    const { time } = JSON.parse(joined.at(-1) ?? "{}") as { time?: number | string };
    const at = typeof time === "number" ? time : Date.parse(time ?? "");
    return at >= sinceMs && at;
  });
}

const faults: { what: string; end: () => Promise<number> }[] = [
  {
    what: "an agent stands still for a while",
    end: async () => {
      await whileFrozen("c1v1", () => sleep(12_000));
      return Date.now();
    },
  },
  { what: "an agent is killed", end: () => killService("c1v1", "boxyard-agent") },
  {
    what: "a server is cut off both ways",
    end: async () => {
      // As long as it takes until two of the three requests have been given up.
      await whileCutOff("c1v1", () => sleep(20_000));
      return Date.now();
    },
  },
  { what: "the control service is killed", end: async () => controlJoinedAt(await killService("control1", "boxyard-control")) },
  {
    what: "the broker's disk is full",
    end: async () => {
      await whileBrokerIsFull(() => sleep(3_000));
      await giveBrokerItsDisk();
      return serviceStartedAt("control1", "nats-server");
    },
  },
  ...[-300, 300].map((seconds) => ({
    what: `a server's clock is off by ${seconds} s`,
    end: async () => {
      await withWrongClock("c1v1", seconds, () => sleep(5_000));
      return serviceStartedAt("c1v1", "boxyard-agent");
    },
  })),
];

describe("while", () => {
  afterAll(async () => {
    await giveBrokerItsDisk();
    await allAreBack();
  });

  test.each(faults)("$what, nothing is carried out twice, each caller is told, and every server is heard of again", ({ end }) =>
    expectOnceWhile(end),
  );
});
