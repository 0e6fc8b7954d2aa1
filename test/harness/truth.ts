import { setTimeout as sleep } from "node:timers/promises";
import { Pool } from "undici";
import { microsOf, nowMicros } from "#base/clock.ts";
import type { Deployment } from "#contract/deployment.ts";
import type { CommitId } from "#contract/names.ts";
import type { Repository } from "./repository.ts";
import { edgeOfYard, senderOf } from "./visitor.ts";

/** What one visitor met. */
export interface Reading {
  /** Microseconds since 1970. */
  readonly startedAt: number;
  readonly endedAt: number;
  /** Why there was no page; null when there was one. */
  readonly fault: string | null;
  /** The release that the web server says it is. */
  readonly release: CommitId | null;
  /** What the page's files say, read one after the other while the page was made. */
  readonly parts: readonly string[];
  readonly box: string;
}

/** Commits a version of the truth-telling website: every page says its release twice, a moment apart, and its box; none is cached. */
export async function commitTruth(repository: Repository, version: string): Promise<CommitId> {
  const page = [
    "<?php header('Cache-Control: no-store');",
    "$first = require __DIR__ . '/first.php';",
    "usleep(15000);",
    "$second = require __DIR__ . '/second.php';",
    "echo $first, ' ', $second, ' ', php_uname('n');",
  ];
  await repository.write({
    "docroot/index.php": page.join("\n"),
    "docroot/first.php": `<?php return '${version}';`,
    "docroot/second.php": `<?php return '${version}';`,
  });
  return repository.commit(version);
}

interface Pace {
  readonly amount?: number;
  /** Between a page and the next one of the same visitor. */
  readonly pauseMs?: number;
}

const VISITORS = 4;
const PAUSE_MS = 10;
/** A server that is cut off answers when it is back; nobody waits longer than a visitor's browser would. */
const ANSWER_MS = 60_000;

/** Visitors that read the website through the edge without end, and remember all that they met. */
export class Visitors {
  readonly #pool: Pool;
  readonly #domain: string;
  readonly #pauseMs: number;
  readonly #stopping = new AbortController();
  readonly #visits: Promise<unknown>;
  #readings: Reading[] = [];

  static async start(domain: string, { amount = VISITORS, pauseMs = PAUSE_MS }: Pace = {}): Promise<Visitors> {
    const { address, ca } = await edgeOfYard();
    const connect = { servername: domain, ca };
    const pool = new Pool(`https://${address}`, { connections: amount, connect, headersTimeout: ANSWER_MS, bodyTimeout: ANSWER_MS });
    return new Visitors(pool, { domain, amount, pauseMs });
  }

  private constructor(pool: Pool, { domain, amount, pauseMs }: { readonly domain: string } & Required<Pace>) {
    this.#pool = pool;
    this.#domain = domain;
    this.#pauseMs = pauseMs;
    this.#visits = Promise.all(Array.from({ length: amount }, () => this.#visit()));
  }

  /** What was met since the last call. */
  take(): readonly Reading[] {
    const taken = this.#readings;
    this.#readings = [];
    return taken;
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#visits;
    await this.#pool.close();
  }

  async #visit(): Promise<void> {
    while (!this.#stopping.signal.aborted) {
      this.#readings.push(await this.#read());
      await sleep(this.#pauseMs);
    }
  }

  async #read(): Promise<Reading> {
    const startedAt = nowMicros();
    try {
      const path = `/?${startedAt}`;
      const { statusCode, headers, body } = await this.#pool.request({ method: "GET", path, headers: { host: this.#domain } });
      const text = await body.text();
      const [first = "", second = "", box = ""] = text.split(" ");
      const release = String(headers["x-boxyard-release"] ?? "") || null;
      const fault = statusCode === 200 ? null : `status ${statusCode} by ${senderOf(headers)}: ${text.slice(0, 80)}`;
      return { startedAt, endedAt: nowMicros(), fault, release, parts: [first, second], box };
    } catch (thrown) {
      return { startedAt, endedAt: nowMicros(), fault: String(thrown), release: null, parts: [], box: "" };
    }
  }
}

/** Clocks of processes on one machine differ by less than this. */
const CLOCK_MICROS = 2_000;

export interface Truth {
  /** All deployments of the website, oldest first; what was live before the first counts as true at any time. */
  readonly deployments: readonly Deployment[];
  /** The commit of each version that pages say. */
  readonly versions: ReadonlyMap<string, CommitId>;
}

/**
 * What visitors met and should not have: no page, a page of two releases, or a release that another one had replaced on all
 * servers before the request began. Empty when all is well.
 */
export function findLies(readings: readonly Reading[], { deployments, versions }: Truth): string[] {
  const changes = deployments.flatMap((deployment) => changesOf(deployment));
  return readings.flatMap((reading) => {
    const { fault, release, parts, box } = reading;
    const at = new Date(reading.startedAt / 1000).toISOString();
    const tookMs = Math.round((reading.endedAt - reading.startedAt) / 1000);
    if (fault !== null) return [`${at} no page after ${tookMs} ms: ${fault}`];
    const [first = ""] = parts;
    if (parts.some((part) => part !== first) || versions.get(first) !== release)
      return [`${at} a mixed page from ${box}: it says ${parts.join(" and ")}, the web server ${release}`];
    const allowed = allowedFor(reading, changes);
    if (allowed === null || allowed.has(release)) return [];
    return [
      `${at} ${box} served ${release?.slice(0, 7)} (${first}) after ${tookMs} ms; true was ${[...allowed].map((one) => one.slice(0, 7))}`,
    ];
  });
}

interface Change {
  readonly commit: CommitId;
  /** From then on somebody may meet it. */
  readonly fromMicros: number;
  /** From then on nobody meets anything else; null when that never came. */
  readonly wholeMicros: number | null;
  /** Until then somebody may meet it, unless it became whole. */
  readonly untilMicros: number;
}

function changesOf({ state, commit, acceptedAt, finishedAt, servers }: Deployment): Change[] {
  if (state === "failed" || state === "superseded") return [];
  const untilMicros = finishedAt === null ? Number.POSITIVE_INFINITY : microsOf(finishedAt);
  const switched = servers.flatMap(({ switchedAt, isLeftOut }) => (switchedAt === null || isLeftOut ? [] : [microsOf(switchedAt)]));
  if (state !== "live") return [{ commit, fromMicros: microsOf(acceptedAt), wholeMicros: null, untilMicros }];
  return [{ commit, fromMicros: Math.min(...switched), wholeMicros: Math.max(...switched), untilMicros }];
}

/** The releases that this visitor may have met; null before the first deployment that is known. */
function allowedFor({ startedAt, endedAt }: Reading, changes: readonly Change[]): ReadonlySet<CommitId> | null {
  const base = changes.findLast(({ wholeMicros }) => wholeMicros !== null && wholeMicros + CLOCK_MICROS <= startedAt);
  if (base === undefined) return null;
  const after = changes.slice(changes.indexOf(base));
  const met = after.filter((change) => change.fromMicros - CLOCK_MICROS <= endedAt && startedAt <= change.untilMicros + CLOCK_MICROS);
  return new Set([base.commit, ...met.map(({ commit }) => commit)]);
}
