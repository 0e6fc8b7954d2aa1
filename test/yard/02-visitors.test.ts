import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { allAreBack } from "#harness/requests.ts";
import { powerOff } from "#harness/servers.ts";
import { TruthSite } from "#harness/truth-site.ts";

describe("visitors who read and send all the time", () => {
  let truth: TruthSite;

  beforeAll(async () => {
    truth = await TruthSite.create("promise.example.test");
  });
  afterAll(() => truth.remove());

  test("meet deployments whole and at one instant on both boxes, and no error; what they send is done once", async () => {
    const { readings, writes, ...wrong } = await truth.visitedWhile(() => truth.alternate(3));
    expect(wrong).toEqual({ lies: [], failedWrites: [], doubles: [] });
    expect(new Set(readings.map(({ release }) => release))).toEqual(new Set(truth.versions.values()));
    expect(new Set(readings.map(({ box }) => box))).toEqual(new Set(["c1b1", "c1b2"]));
    expect(new Set(writes.map(({ kind }) => kind))).toEqual(new Set(["form", "upload"]));
  });

  test("read without an error when a box loses its power, send nothing that is done twice, and the box comes back by itself", async () => {
    const { lies, writes, doubles } = await truth.visitedWhile(async () => {
      await powerOff("c1b2");
      await allAreBack(120_000);
    });
    expect({ lies, doubles }).toEqual({ lies: [], doubles: [] });
    expect(writes.filter(({ fault }) => fault === null).length).toBeGreaterThan(writes.length / 2);
    await truth.isVisited("c1b2");
  });
});
