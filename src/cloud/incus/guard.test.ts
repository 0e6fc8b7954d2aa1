import { expect, test } from "vitest";
import { closedDoor, guardedNic, guardOf } from "./guard.ts";

test("either daemon's instance is guarded by what is set for it, and by nothing less", () => {
  const eth0 = { type: "nic", name: "eth0", network: "by-test", "ipv4.address": "10.77.0.9" };
  for (const daemon of ["lxd", "incus"]) {
    const config = closedDoor(daemon);
    for (const guard of ["address", "hardware"] as const)
      expect(guardOf({ config, devices: { eth0: { ...eth0, ...guardedNic(guard) } } })).toBe(guard);
    expect(guardOf({ config, devices: { eth0 } })).toBeNull();
    expect(guardOf({ config, devices: {} })).toBeNull();
    expect(guardOf({ config: {}, devices: { eth0: { ...eth0, ...guardedNic("address") } } })).toBeNull();
  }
  expect(closedDoor("lxd")).toEqual({ "security.devlxd": "false" });
  expect(closedDoor("incus")).toEqual({ "security.guestapi": "false" });
});
