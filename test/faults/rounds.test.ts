import { setTimeout as sleep } from "node:timers/promises";
import fc from "fast-check";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import type { CommitId } from "#contract/names.ts";
import { onSmallDisk, whileCutOff, whileFrozen, whileFull, whilePoweredOff, whileStopping } from "#harness/faults.ts";
import type { Repository } from "#harness/repository.ts";
import { allAreBack } from "#harness/requests.ts";
import { SEED } from "#harness/seed.ts";
import { mustInServer, powerOff } from "#harness/servers.ts";
import { createSite, removeSite } from "#harness/site.ts";
import { commitTruth, findLies, Visitors } from "#harness/truth.ts";
import { Visitor } from "#harness/visitor.ts";
import { boxyard, eventually, listDeployments, showWebsite, type WebsiteJson } from "#harness/yard.ts";

const DOMAIN = "rounds.example.test";
const ROUNDS = Number(process.env["BOXYARD_FAULT_ROUNDS"] ?? 50);

let repository: Repository;
let website: WebsiteJson;
let visitors: Visitors;
let versions: Map<string, CommitId>;

type Work = () => Promise<void>;

/** Whom a round may hit. */
interface Victims {
  readonly box: string;
  readonly cache: string;
}

interface Trouble {
  /** From the round's beginning to its end; makes the trouble possible. */
  readonly round?: (work: Work, victims: Victims) => Promise<void>;
  readonly trouble: (work: Work, victims: Victims) => Promise<void>;
}

/** What may go wrong. */
const TROUBLES = {
  "a box loses its power": { trouble: (work, { box }) => whilePoweredOff(box, work) },
  "a box is shut down": { trouble: (work, { box }) => whileStopping(box, work) },
  "a box's agent stands still": { trouble: (work, { box }) => whileFrozen(box, work) },
  "a box is cut off": { trouble: (work, { box }) => whileCutOff(box, work) },
  "a box's disk is full": {
    round: (work, { box }) => onSmallDisk([box], website.id, work),
    trouble: (work, { box }) => whileFull([box], website.id, work),
  },
  "a box's agent is killed": { trouble: (work, { box }) => afterKilling(box, "boxyard-agent", work) },
  "control is killed": { trouble: (work) => afterKilling("control1", "boxyard-control", work) },
  "the broker is killed": { trouble: (work) => afterKilling("control1", "nats-server", work) },
  "a cache is shut down": { trouble: (work, { cache }) => whileStopping(cache, work) },
  "a cache loses its power": { trouble: (work, { cache }) => whilePoweredOff(cache, work) },
} satisfies Record<string, Trouble>;

/** What may go wrong with a build alone. */
const BUILD_TROUBLES = {
  ...TROUBLES,
  "the builder loses its power": { trouble: (work) => afterLosing(() => `${website.id}x`, work) },
} satisfies Record<string, Trouble>;

/** There may be none yet, or any more; control starts it again by itself. */
async function afterLosing(server: () => string, work: Work): Promise<void> {
  await powerOff(server()).catch(() => undefined);
  await work();
}

/** How the round's release is deployed. */
const BOXFILES = {
  "as it is": () => "version: 3\n",
  "while visitors wait": () => "version: 3\ndeploy: hold\nhooks: {update: sleep 1.5, after: 'true'}\n",
  built: (version: string) => `version: 3\nbuild: [sleep 2, echo ${version} > docroot/built.txt]\n`,
} as const;

async function afterKilling(server: string, service: string, work: Work): Promise<void> {
  await mustInServer(server, "systemctl", "kill", "--signal=KILL", service);
  await work();
}

type Way = keyof typeof BOXFILES;
type TroubleName = keyof typeof BUILD_TROUBLES;

/** `longestMs`: how long after the deployment was asked for the trouble may begin. */
function roundOf(way: Way, troubles: Record<string, Trouble>, longestMs: number) {
  return fc.record({
    way: fc.constant(way),
    trouble: fc.constantFrom(...(Object.keys(troubles) as TroubleName[])),
    box: fc.constantFrom("c1b1", "c1b2"),
    cache: fc.constantFrom("c1v1", "c1v2"),
    /** After the deployment was asked for. */
    afterMs: fc.integer({ min: 0, max: longestMs }),
    /** How long the trouble goes on when the deployment has ended. */
    onMs: fc.integer({ min: 0, max: 3_000 }),
  });
}

const round = fc.oneof(
  { weight: 6, arbitrary: roundOf("as it is", TROUBLES, 900) },
  { weight: 2, arbitrary: roundOf("while visitors wait", TROUBLES, 3_000) },
  // A builder takes some seconds to be there.
  { weight: 1, arbitrary: roundOf("built", BUILD_TROUBLES, 12_000) },
);

beforeAll(async () => {
  console.log(`${ROUNDS} rounds from seed ${SEED}: again with bin/test --slice faults --seed ${SEED}`);
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

async function commit(version: string, way: Way): Promise<void> {
  await repository.write({ Boxfile: BOXFILES[way](version) });
  versions.set(version, await commitTruth(repository, version));
}

async function push(version: string): Promise<void> {
  await commit(version, "as it is");
  const pushed = await repository.push(website.gitUrl);
  expect(pushed.exitCode, pushed.stderr).toBe(0);
}

test.each(fc.sample(round, { numRuns: ROUNDS, seed: SEED }).map((one, index) => ({ ...one, nth: index + 1 })))(
  "$nth, $way: $trouble ($box, $cache) $afterMs ms after a deployment was asked for, and $onMs ms longer than that",
  async ({ way, trouble, box, cache, afterMs, onMs, nth }) => {
    const victims = { box, cache };
    const { round = (work: Work) => work(), trouble: around }: Trouble = BUILD_TROUBLES[trouble];
    // What is staged already goes too fast to be hit: every other deployment is a new commit.
    const isNew = way !== "as it is" || nth % 2 === 0;
    // A second attempt has a version of its own.
    const version = `round-${nth}-${versions.size}`;
    if (isNew) await commit(version, way);
    await round(async () => {
      const deploying = isNew ? repository.push(website.gitUrl) : boxyard("deploy", website.id, "--ref", versions.get("one") ?? "");
      await sleep(afterMs);
      await around(async () => {
        await deploying;
        await sleep(onMs);
      }, victims);
      await allAreBack(120_000);
    }, victims);
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
    if (way === "built" && release === versions.get(version))
      expect((await new Visitor(DOMAIN).get(`/built.txt?${version}`)).text.trim()).toBe(version);
  },
);
