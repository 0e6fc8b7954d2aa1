import { expect, test } from "vitest";
import { Fault } from "#base/fault.ts";
import { cloudConformance } from "../conformance.ts";
import { memoryCloud } from "./cloud.ts";

cloudConformance(async () => ({ cloud: memoryCloud(), template: "template-current", networkPrefix: "10.77.9." }));

test("a method that was told to fail fails until it is repaired", async () => {
  const cloud = memoryCloud();
  const fault = new Fault("cloud.unreachable", "the cloud is away");
  cloud.fail("listServers", fault);
  await expect(cloud.listServers()).rejects.toBe(fault);
  await cloud.check();
  cloud.mend("listServers");
  expect(await cloud.listServers()).toEqual([]);
});

test("a method that was told to be slow is slow", async () => {
  const cloud = memoryCloud();
  cloud.slow("ensureVolume", 50);
  const startedAt = performance.now();
  await cloud.ensureVolume("files");
  expect(performance.now() - startedAt).toBeGreaterThan(40);
});
