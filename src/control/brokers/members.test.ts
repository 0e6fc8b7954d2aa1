import { expect, test } from "vitest";
import type { ControlConfig } from "#contract/control-config.ts";
import { controlServers } from "./members.ts";

const config = (server: string, address: string, replicas: 1 | 3): ControlConfig =>
  ({ server, address, subnet: "10.77.5.0/24", replicas }) as ControlConfig;

test("the three control servers are the same whichever of them asks", () => {
  const three = controlServers(config("control1", "10.77.5.2", 3));
  expect(three.map(({ name, address }) => `${name} ${address}`)).toEqual([
    "control1 10.77.5.2",
    "control2 10.77.5.3",
    "control3 10.77.5.4",
  ]);
  expect(controlServers(config("control3", "10.77.5.4", 3))).toEqual(three);
});

test("one control server is alone", () => {
  expect(controlServers(config("control1", "10.77.5.2", 1))).toEqual([{ name: "control1", address: "10.77.5.2" }]);
});
