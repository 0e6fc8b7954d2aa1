/**
 * What visitors notice of deployments, among them the first request of each box after its switch, whose code is compiled
 * before: `node test/bench/visitors.ts` (as root, about 6 minutes). Beside it stands a second website with the same page, which
 * is never deployed: what its visitors notice at the same moment on the same box is the machine's and not the release's.
 */
import { writeFile } from "node:fs/promises";
import { cpus } from "node:os";
import { setTimeout as sleep } from "node:timers/promises";
import type { Site } from "../harness/site.ts";
import type { Reading } from "../harness/truth.ts";
import { median, must } from "./measure.ts";

process.env["BOXYARD_TEST_YARD"] ??= "bench";
const { bin, boxyardJson, lastDeployment, TEST_YARD } = await import("../harness/yard.ts");
const { createSite, removeSite } = await import("../harness/site.ts");
const { Visitors } = await import("../harness/truth.ts");
const { microsOf } = await import("../../src/base/clock.ts");

const DEPLOYMENTS = Number(process.env["DEPLOYMENTS"] ?? 30);
const DOMAIN = "visitors.example.test";
const NEIGHBOUR = "neighbour.example.test";
/** Of each of the two websites. */
const VISITORS = 2;
/** About what a page of a larger application loads. */
const INCLUDED = 200;
/** Before and after each deployment, for the usual time of a request. */
const CALM_MS = 1_500;

interface Round {
  readonly readings: readonly Reading[];
  /** Of the website that stays as it is. */
  readonly neighbours: readonly Reading[];
  /** When each box switched, in microseconds. */
  readonly switchedAt: ReadonlyMap<string, number>;
}

await must(bin("down", ["--yard", TEST_YARD]));
await must(bin("up", ["--yard", TEST_YARD, "--bare"], 1_800_000));
await boxyardJson("cluster", "create", "--boxes", "2");
const site = await createSite(DOMAIN);
const neighbour = await createSite(NEIGHBOUR);
await push(site, 0);
await push(neighbour, 0);
const visitors = await Visitors.start(DOMAIN, { amount: VISITORS });
const neighbours = await Visitors.start(NEIGHBOUR, { amount: VISITORS });
const rounds: Round[] = [];
for (let nth = 1; nth <= DEPLOYMENTS; nth++) rounds.push(await deploy(nth));
await Promise.all([visitors.stop(), neighbours.stop()]);
await writeDocument();
for (const one of [site, neighbour]) await removeSite(one);
await must(bin("down", ["--yard", TEST_YARD]));

/** Every file differs from the one before, so that nothing that was compiled can serve again. */
async function push({ website, repository }: Site, version: number): Promise<void> {
  const body = (n: number): string => {
    const methods = Array.from(
      { length: 12 },
      (_, m) => `  public function m${m}(array $a): array { return array_map(fn ($x) => $x + ${m}, $a); }`,
    );
    return `<?php\n// version ${version}\nfinal class C${n} {\n${methods.join("\n")}\n}\n`;
  };
  const files = Object.fromEntries(Array.from({ length: INCLUDED }, (_, n) => [`docroot/lib/c${n}.php`, body(n)]));
  const index = `<?php header('Cache-Control: no-store'); for ($n = 0; $n < ${INCLUDED}; $n++) require __DIR__ . "/lib/c$n.php"; echo '${version} ${version} ', php_uname('n');`;
  await repository.write({ ...files, "docroot/index.php": index });
  await repository.commit(`version ${version}`);
  await must(repository.push(website.gitUrl));
}

async function deploy(nth: number): Promise<Round> {
  await sleep(CALM_MS);
  visitors.take();
  neighbours.take();
  await sleep(CALM_MS);
  await push(site, nth);
  await sleep(CALM_MS);
  const { servers } = await lastDeployment(site.website.id);
  const switchedAt = new Map(servers.map(({ name, switchedAt }) => [name, microsOf(switchedAt ?? "")]));
  return { readings: visitors.take(), neighbours: neighbours.take(), switchedAt };
}

function tookMs({ startedAt, endedAt }: Reading): number {
  return (endedAt - startedAt) / 1_000;
}

interface First {
  /** As a multiple of the box's usual request. */
  readonly ofMedian: number;
  /** As a multiple of the neighbour's request to the same box that began nearest to it. */
  readonly ofNeighbour: number;
}

/** Of each box: its first request that began after its switch. */
function firstRequests({ readings, neighbours, switchedAt }: Round): First[] {
  return [...switchedAt].flatMap(([box, at]) => {
    const own = readings.filter((one) => one.box === box).sort((a, b) => a.startedAt - b.startedAt);
    const first = own.find(({ startedAt }) => startedAt > at);
    if (first === undefined) return [];
    const distance = (one: Reading): number => Math.abs(one.startedAt - first.startedAt);
    const [nearest] = neighbours.filter((one) => one.box === box).sort((a, b) => distance(a) - distance(b));
    const ofNeighbour = nearest === undefined ? Number.NaN : tookMs(first) / tookMs(nearest);
    return [{ ofMedian: tookMs(first) / median(own.map(tookMs)), ofNeighbour }];
  });
}

async function writeDocument(): Promise<void> {
  const readings = rounds.flatMap((round) => round.readings);
  const failed = readings.filter(({ fault }) => fault !== null).length;
  const times = readings.map(tookMs).sort((a, b) => a - b);
  const at = (share: number): string => (times[Math.min(times.length - 1, Math.floor(times.length * share))] ?? Number.NaN).toFixed(1);
  const firsts = rounds.flatMap(firstRequests);
  const spread = (ratios: readonly number[]): string =>
    `${median(ratios).toFixed(2)}, ${Math.min(...ratios).toFixed(2)} – ${Math.max(...ratios).toFixed(2)}`;
  const text = `# What visitors notice of a deployment

Taken by \`node test/bench/visitors.ts\` on ${new Date().toISOString().slice(0, 10)}: ${cpus().length} × ${cpus()[0]?.model.trim()}, all servers on this one machine. Visitors read an
uncached page that loads ${INCLUDED} files, through the edge, all the time, while ${DEPLOYMENTS} releases are pushed one after the other that each change all of these files. As
many read the same page of a neighbour: a website on the same boxes that stays as it is.

| figure | measured | target |
|---|---|---|
| requests, of them failed | ${readings.length.toLocaleString("en")}, ${failed} | 0 failed |
| time of a request: median, 99 %, longest | ${at(0.5)} ms, ${at(0.99)} ms, ${at(1)} ms | – |
| first request of a box after its switch, as a multiple of that box's median: median, least – most (${firsts.length}) | ${spread(firsts.map(({ ofMedian }) => ofMedian))} | ≤ 1.5 |
| the same, as a multiple of the neighbour's request at that moment | ${spread(firsts.map(({ ofNeighbour }) => ofNeighbour))} | – |

Right after a switch all servers of the yard are at work on these two processors, which both websites feel; the last row has only what the release adds.
`;
  await writeFile("docs/benchmarks-visitors.md", text);
  console.log(text);
}
