import { afterAll, beforeAll, expect, test } from "vitest";
import { allAreBack } from "#harness/requests.ts";
import { TruthSite } from "#harness/truth-site.ts";

const DEPLOYMENTS = Number(process.env["BOXYARD_TRUTH_DEPLOYMENTS"] ?? 100);
let truth: TruthSite;

beforeAll(async () => {
  truth = await TruthSite.create("hundred.example.test");
  await allAreBack();
});

afterAll(() => truth.remove());

test(`visitors who read all the time meet ${DEPLOYMENTS} deployments, each whole and at one instant, and no error`, async () => {
  const { readings, lies } = await truth.visitedWhile(() => truth.alternate(DEPLOYMENTS));
  expect(lies).toEqual([]);
  expect(new Set(readings.map(({ release }) => release))).toEqual(new Set(truth.versions.values()));
  expect(readings.length).toBeGreaterThan(DEPLOYMENTS * 10);
}, 1_200_000);
