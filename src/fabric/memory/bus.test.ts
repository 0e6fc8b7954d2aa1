import { describe, expect, test } from "vitest";
import { startBroker } from "#harness/broker.ts";
import { fabricConformance } from "../conformance.ts";
import { memoryBus } from "./bus.ts";

describe("the fabric in memory", () => {
  const bus = memoryBus();
  fabricConformance(async () => ({
    control: bus.joinAsControl(),
    join: async (server) => bus.joinAsServer(server),
    close: async () => undefined,
  }));

  test("has servers that are cut off and come back", async () => {
    const end = bus.joinAsServer("c9b1");
    let nudges = 0;
    end.onNudge(() => nudges++);
    end.cutOff();
    end.nudge();
    expect([end.isConnected(), nudges]).toEqual([false, 0]);
    end.bringBack();
    expect([end.isConnected(), nudges]).toEqual([true, 1]);
  });
});

describe("the fabric over NATS", () => {
  fabricConformance(async () => {
    const broker = await startBroker();
    return { control: await broker.joinAsControl(), join: (server) => broker.joinAsServer(server), close: () => broker.stop() };
  });
});
