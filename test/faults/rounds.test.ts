import { setTimeout as sleep } from "node:timers/promises";
import fc from "fast-check";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import type { CommitId } from "#contract/names.ts";
import { whileCutOff, whileFrozen, whileFull, whilePoweredOff } from "#harness/faults.ts";
import { Repository } from "#harness/repository.ts";
import { allAreBack } from "#harness/requests.ts";
import { mustInServer } from "#harness/servers.ts";
import { commitTruth, findLies, Visitors } from "#harness/truth.ts";
import { boxyard, boxyardJson, eventually, listDeployments, showWebsite, type WebsiteJson } from "#harness/yard.ts";

const DOMAIN = "rounds.example.test";
const ROUNDS = Number(process.env["BOXYARD_FAULT_ROUNDS"] ?? 50);
const SEED = Number(process.env["BOXYARD_FAULT_SEED"] ?? Date.now() % 1_000_000_000);

let repository: Repository;
let website: WebsiteJson;
let visitors: Visitors;
let versions: Map<string, CommitId>;

/** What may go wrong around the work. */
const TROUBLES = {
  "a box loses its power": (work) => whilePoweredOff("c1b2", work),
  "a box's agent stands still": (work) => whileFrozen("c1b2", work),
  "a box is cut off": (work) => whileCutOff("c1b2", work),
  "a box's disk is full": (work) => whileFull(["c1b2"], website.id, work),
  "control is killed": (work) => afterHaving("boxyard-control", "KILL", work),
  "the broker is killed": (work) => afterHaving("nats-server", "KILL", work),
  "a cache loses its power": (work) => whilePoweredOff("c1v2", work),
} satisfies Record<string, (work: () => Promise<void>) => Promise<void>>;

type Work = () => Promise<void>;

async function afterHaving(service: string, signal: string, work: Work): Promise<void> {
  await mustInServer("control1", "systemctl", "kill", `--signal=${signal}`, service);
  await work();
}

const round = fc.record({
  trouble: fc.constantFrom(...(Object.keys(TROUBLES) as (keyof typeof TROUBLES)[])),
  /** After the deployment was asked for. */
  afterMs: fc.integer({ min: 0, max: 900 }),
  /** How long the trouble goes on when the deployment has ended. */
  onMs: fc.integer({ min: 0, max: 3_000 }),
});

beforeAll(async () => {
  console.log(`${ROUNDS} rounds from seed ${SEED}: repeat them with BOXYARD_FAULT_SEED=${SEED}`);
  website = await boxyardJson<WebsiteJson>("website", "create", "--cluster", "c1", "--domain", DOMAIN);
  repository = await Repository.create();
  await repository.mayPushTo(website.id);
  versions = new Map();
  for (const version of ["one", "two"]) await push(version);
  visitors = await Visitors.start(DOMAIN);
});

afterAll(async () => {
  await visitors.stop();
  await repository.remove();
  await boxyard("website", "delete", website.id);
});

beforeEach(async () => {
  await allAreBack(120_000);
  visitors.take();
});

async function push(version: string): Promise<void> {
  versions.set(version, await commitTruth(repository, version));
  const pushed = await repository.push(website.gitUrl);
  expect(pushed.exitCode, pushed.stderr).toBe(0);
}

test.each(fc.sample(round, { numRuns: ROUNDS, seed: SEED }).map((one, index) => ({ ...one, nth: index + 1 })))(
  "$nth: $trouble $afterMs ms after a deployment was asked for, and $onMs ms longer than that",
  async ({ trouble, afterMs, onMs, nth }) => {
    // What is staged already goes too fast to be hit: every other deployment is a new commit.
    if (nth % 2 === 0) versions.set(`round ${nth}`.replace(" ", "-"), await commitTruth(repository, `round-${nth}`));
    const deploying = nth % 2 === 0 ? repository.push(website.gitUrl) : boxyard("deploy", website.id, "--ref", versions.get("one") ?? "");
    await sleep(afterMs);
    await TROUBLES[trouble](async () => {
      await deploying;
      await sleep(onMs);
    });
    await allAreBack(120_000);
    await eventually("deployments to end", async () => (await listDeployments(website.id)).every(({ finishedAt }) => finishedAt !== null));
    await sleep(200);
    const { release, servers } = await showWebsite(website.id);
    for (const server of servers) expect(server).toMatchObject({ release });
    const readings = visitors.take();
    expect(findLies(readings, { deployments: await listDeployments(website.id), versions })).toEqual([]);
    expect(readings.length).toBeGreaterThan(10);
  },
);
