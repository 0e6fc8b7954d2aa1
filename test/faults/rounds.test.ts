import { setTimeout as sleep } from "node:timers/promises";
import fc from "fast-check";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import type { CommitId } from "#contract/names.ts";
import { onSmallDisk, whileCutOff, whileFrozen, whileFull, whilePoweredOff } from "#harness/faults.ts";
import type { Repository } from "#harness/repository.ts";
import { allAreBack } from "#harness/requests.ts";
import { mustInServer } from "#harness/servers.ts";
import { createSite, removeSite } from "#harness/site.ts";
import { commitTruth, findLies, Visitors } from "#harness/truth.ts";
import { boxyard, eventually, listDeployments, showWebsite, type WebsiteJson } from "#harness/yard.ts";

const DOMAIN = "rounds.example.test";
const ROUNDS = Number(process.env["BOXYARD_FAULT_ROUNDS"] ?? 50);
const SEED = Number(process.env["BOXYARD_FAULT_SEED"] ?? Date.now() % 1_000_000_000);

let repository: Repository;
let website: WebsiteJson;
let visitors: Visitors;
let versions: Map<string, CommitId>;

type Work = () => Promise<void>;
type Around = (work: Work) => Promise<void>;

interface Trouble {
  /** From the round's beginning to its end; makes the trouble possible. */
  readonly round?: Around;
  readonly trouble: Around;
}

/** What may go wrong. */
const TROUBLES = {
  "a box loses its power": { trouble: (work) => whilePoweredOff("c1b2", work) },
  "a box's agent stands still": { trouble: (work) => whileFrozen("c1b2", work) },
  "a box is cut off": { trouble: (work) => whileCutOff("c1b2", work) },
  "a box's disk is full": {
    round: (work) => onSmallDisk(["c1b2"], website.id, work),
    trouble: (work) => whileFull(["c1b2"], website.id, work),
  },
  "control is killed": { trouble: (work) => afterHaving("boxyard-control", work) },
  "the broker is killed": { trouble: (work) => afterHaving("nats-server", work) },
  "a cache loses its power": { trouble: (work) => whilePoweredOff("c1v2", work) },
} satisfies Record<string, Trouble>;

async function afterHaving(service: string, work: Work): Promise<void> {
  await mustInServer("control1", "systemctl", "kill", "--signal=KILL", service);
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
  ({ website, repository } = await createSite(DOMAIN));
  versions = new Map();
  for (const version of ["one", "two"]) await push(version);
  visitors = await Visitors.start(DOMAIN);
});

afterAll(async () => {
  await visitors.stop();
  await removeSite({ website, repository });
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
    const { round = (work: Work) => work(), trouble: around }: Trouble = TROUBLES[trouble];
    // What is staged already goes too fast to be hit: every other deployment is a new commit.
    const isNew = nth % 2 === 0;
    if (isNew) versions.set(`round-${nth}`, await commitTruth(repository, `round-${nth}`));
    await round(async () => {
      const deploying = isNew ? repository.push(website.gitUrl) : boxyard("deploy", website.id, "--ref", versions.get("one") ?? "");
      await sleep(afterMs);
      await around(async () => {
        await deploying;
        await sleep(onMs);
      });
      await allAreBack(120_000);
    });
    const deployments = await eventually("deployments to end", async () => {
      const all = await listDeployments(website.id);
      return all.every(({ finishedAt }) => finishedAt !== null) && all;
    });
    await sleep(200);
    const { release, servers } = await showWebsite(website.id);
    for (const server of servers) expect(server).toMatchObject({ release });
    const readings = visitors.take();
    expect(findLies(readings, { deployments, versions })).toEqual([]);
    expect(readings.length).toBeGreaterThan(10);
  },
);
