// Takes three minutes: deployments in a row, of which each keeps the servers busy for some seconds.
import { afterAll, beforeAll, expect, test } from "vitest";
import { allAreBack } from "#harness/requests.ts";
import { TruthSite } from "#harness/truth-site.ts";
import { WRITE_KINDS } from "#harness/writers.ts";

const DEPLOYMENTS = Number(process.env["BOXYARD_TRUTH_DEPLOYMENTS"] ?? 50);
let truth: TruthSite;

beforeAll(async () => {
  truth = await TruthSite.create("in-a-row.example.test");
  await allAreBack();
});

afterAll(() => truth.remove());

test(`visitors who read and send all the time meet ${DEPLOYMENTS} deployments, each whole and at one instant, and no error; what they send is done once`, async () => {
  const visited = await truth.visitedWhile(() => truth.alternate(DEPLOYMENTS), WRITE_KINDS);
  const { readings, writes, ...wrong } = visited;
  expect(wrong).toEqual({ lies: [], failedWrites: [], doubles: [] });
  expect(new Set(writes.map(({ kind }) => kind))).toEqual(new Set(WRITE_KINDS));
  expect(new Set(readings.map(({ release }) => release))).toEqual(new Set(truth.versions.values()));
  expect(readings.length).toBeGreaterThan(DEPLOYMENTS * 10);
}, 1_200_000);
