// Takes some minutes: each round is a deployment with a fault, and its cluster has to recover before the next.
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { CommitId } from "#contract/names.ts";
import { Lanes } from "#harness/lanes.ts";
import { clusterIsBack } from "#harness/requests.ts";
import { boxfileOf, type Round, roundsFrom, type Way } from "#harness/rounds.ts";
import { SEED } from "#harness/seed.ts";
import { createSite, removeSite, type Site } from "#harness/site.ts";
import { commitTruth, findLies, Visitors } from "#harness/truth.ts";
import { Visitor } from "#harness/visitor.ts";
import { findDoublesOn, TAKE_FILES, WRITE_KINDS, type Write, type WriteKind, Writers } from "#harness/writers.ts";
import { boxyard, boxyardJson, eventually, listDeployments, releaseOnAll } from "#harness/yard.ts";

/** One in so many pairs of a trouble and a way of deploying, and how often each; BOXYARD_FAULT_SHARE=1 tries all pairs. */
const AMOUNT = { share: Number(process.env["BOXYARD_FAULT_SHARE"] ?? 3), times: Number(process.env["BOXYARD_FAULT_TIMES"] ?? 1) };
const BACK_MS = 120_000;
/** Visitors of two clusters who read without a pause would leave the servers no processor to come back with. */
const PAUSE_MS = 40;
const rounds = roundsFrom(SEED, AMOUNT);

/** A website on a cluster of its own, where one round goes on at a time. */
interface Lane {
  readonly cluster: string;
  readonly domain: string;
  readonly site: Site;
  readonly versions: Map<string, CommitId>;
  readonly visitors: Visitors;
  readonly writers: Writers;
  readonly writes: Write[];
}

let second: string;
let lanes: Lane[];
let free: Lanes<Lane>;

beforeAll(async () => {
  console.log(`${rounds.length} rounds from seed ${SEED}`);
  ({ id: second } = await boxyardJson<{ id: string }>("cluster", "create", "--boxes", "2"));
  lanes = await Promise.all(["c1", second].map(startLane));
  free = new Lanes(lanes);
}, 600_000);

afterAll(async () => {
  await Promise.all(lanes.map(endLane));
  await boxyard("cluster", "delete", second, "--yes");
}, 300_000);

async function startLane(cluster: string): Promise<Lane> {
  const domain = `rounds-${cluster}.example.test`;
  const site = await createSite(domain, cluster);
  const versions = new Map<string, CommitId>();
  for (const version of ["one", "two"]) {
    versions.set(version, await commit(site, version, "as it is"));
    const pushed = await site.repository.push(site.website.gitUrl);
    expect(pushed.exitCode, pushed.stderr).toBe(0);
  }
  const [visitors, writers] = await Promise.all([Visitors.start(domain, { pauseMs: PAUSE_MS }), Writers.start(domain)]);
  return { cluster, domain, site, versions, visitors, writers, writes: [] };
}

async function endLane({ site, visitors, writers }: Lane): Promise<void> {
  await visitors.stop();
  await writers.stop();
  await removeSite(site);
}

async function commit({ repository }: Site, version: string, way: Way): Promise<CommitId> {
  await repository.write({ Boxfile: boxfileOf(way, version), ...TAKE_FILES });
  return commitTruth(repository, version);
}

/** One round on a cluster that is well; it is well again at its end, and nobody has met anything untrue. */
async function play(lane: Lane, { nth, way, trouble, box, cache, afterMs, onMs, isNew }: Round): Promise<void> {
  const { cluster, site, versions, visitors, writers } = lane;
  const { website, repository } = site;
  await clusterIsBack(cluster, BACK_MS);
  visitors.take();
  const victims = { website: website.id, box: `${cluster}b${box}`, cache: `${cluster}v${cache}` };
  const { round = (work: () => Promise<void>) => work(), trouble: around } = trouble;
  const version = `round-${nth}-${versions.size}`;
  if (isNew) versions.set(version, await commit(site, version, way));
  await round(async () => {
    const deploying = isNew ? repository.push(website.gitUrl) : boxyard("deploy", website.id, "--ref", versions.get("one") ?? "");
    await sleep(afterMs);
    await around(async () => {
      await deploying;
      await sleep(onMs);
    }, victims);
    await clusterIsBack(cluster, BACK_MS);
  }, victims);
  const deployments = await eventually("deployments to end", async () => {
    const all = await listDeployments(website.id);
    return all.every(({ finishedAt }) => finishedAt !== null) && all;
  });
  await sleep(200);
  const release = await releaseOnAll(website.id);
  const readings = visitors.take();
  expect(findLies(readings, { deployments, versions })).toEqual([]);
  expect(readings.length).toBeGreaterThan(10);
  const writes = writers.take();
  lane.writes.push(...writes);
  expect(await findDoublesOn(`${cluster}b1`, website.id, writes)).toEqual([]);
  if (way === "built" && release === versions.get(version))
    expect((await new Visitor(lane.domain).get(`/built.txt?${version}`)).text.trim()).toBe(version);
}

const NAME = "$nth, $way: $what (box $box, cache $cache) $afterMs ms after a deployment was asked for, and $onMs ms longer than that";
// Rounds wait for a cluster that is free.
const WAIT_MS = 1_500_000;

describe("a fault in one cluster", () => {
  test.concurrent.each(rounds.filter(({ trouble }) => !trouble.isForAll))(NAME, (round) => free.on((lane) => play(lane, round)), WAIT_MS);
});

describe("a fault for all clusters", () => {
  test.each(rounds.filter(({ trouble }) => trouble.isForAll))(NAME, (round) => free.on((lane) => play(lane, round)), WAIT_MS);
});

/** What takes half a minute meets a fault in most rounds. */
const LEAST_DONE: Record<WriteKind, number> = { form: 1 / 2, upload: 1 / 2, "pausing-upload": 1 / 3, slow: 1 / 5 };

test("of all that visitors sent in these rounds most was done, a part also of what took half a minute, and nothing twice", async () => {
  for (const { cluster, site, writers, writes } of lanes) {
    await writers.stop();
    writes.push(...writers.take());
    expect(await findDoublesOn(`${cluster}b1`, site.website.id, writes)).toEqual([]);
    for (const kind of WRITE_KINDS) {
      const sent = writes.filter((one) => one.kind === kind);
      expect(sent.filter(({ fault }) => fault === null).length, `${kind} on ${cluster}`).toBeGreaterThan(sent.length * LEAST_DONE[kind]);
    }
  }
}, 180_000);
