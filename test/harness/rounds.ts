import fc from "fast-check";
import { onSmallDisk, whileCutOff, whileFrozen, whileFull, whilePoweredOff, whileStopping } from "./faults.ts";
import { mustInServer, powerOff } from "./servers.ts";
import { TAKE_FOLDER } from "./writers.ts";

export type Work = () => Promise<void>;

/** Whom a round may hit. */
export interface Victims {
  readonly website: string;
  readonly box: string;
  readonly cache: string;
}

export interface Trouble {
  /** From the round's beginning to its end; makes the trouble possible. */
  readonly round?: (work: Work, victims: Victims) => Promise<void>;
  readonly trouble: (work: Work, victims: Victims) => Promise<void>;
  /** It hits all clusters of the yard. */
  readonly isForAll?: boolean;
}

/** What may go wrong. */
const TROUBLES = {
  "a box loses its power": { trouble: (work, { box }) => whilePoweredOff(box, work) },
  "a box is shut down": { trouble: (work, { box }) => whileStopping(box, work) },
  "a box's agent stands still": { trouble: (work, { box }) => whileFrozen(box, work) },
  "a box is cut off": { trouble: (work, { box }) => whileCutOff(box, work) },
  "a box's disk is full": {
    round: (work, { box, website }) => onSmallDisk([box], website, work),
    trouble: (work, { box, website }) => whileFull([box], website, work),
  },
  "a box's agent is killed": { trouble: (work, { box }) => afterKilling(box, "boxyard-agent", work) },
  "control is killed": { trouble: (work) => afterKilling("control1", "boxyard-control", work), isForAll: true },
  "the broker is killed": { trouble: (work) => afterKilling("control1", "nats-server", work), isForAll: true },
  "a cache is shut down": { trouble: (work, { cache }) => whileStopping(cache, work) },
  "a cache loses its power": { trouble: (work, { cache }) => whilePoweredOff(cache, work) },
} satisfies Record<string, Trouble>;

/** What may go wrong with a build alone. */
const BUILD_TROUBLES = {
  ...TROUBLES,
  "the builder loses its power": { trouble: (work, { website }) => afterLosing(`${website}x`, work) },
} satisfies Record<string, Trouble>;

const SHARED = `version: 3\nshared_folders: [${TAKE_FOLDER}]\n`;

/** How the round's release is deployed. */
const WAYS = {
  "as it is": { boxfile: () => SHARED, troubles: TROUBLES, longestMs: 900 },
  "while visitors wait": {
    boxfile: () => `${SHARED}deploy: hold\nhooks: {update: sleep 1.5, after: 'true'}\n`,
    troubles: TROUBLES,
    longestMs: 3_000,
  },
  // A builder takes some seconds to be there.
  built: {
    boxfile: (version: string) => `${SHARED}build: [sleep 2, echo ${version} > docroot/built.txt]\n`,
    troubles: BUILD_TROUBLES,
    longestMs: 12_000,
  },
} satisfies Record<string, { boxfile: (version: string) => string; troubles: Record<string, Trouble>; longestMs: number }>;

export type Way = keyof typeof WAYS;

/** One deployment with one trouble. */
export interface Round {
  readonly nth: number;
  readonly way: Way;
  readonly what: string;
  readonly trouble: Trouble;
  /** Which box and which cache of the cluster are hit. */
  readonly box: 1 | 2;
  readonly cache: 1 | 2;
  /** What is staged already goes too fast to be hit: often a commit is new. */
  readonly isNew: boolean;
  /** When the trouble begins, after the deployment was asked for. */
  readonly afterMs: number;
  /** How long it goes on when the deployment has ended. */
  readonly onMs: number;
}

/** How many rounds there are: every trouble with one in `share` ways of deploying, `times` times. */
export interface Amount {
  readonly share: number;
  readonly times: number;
}

/**
 * The rounds of a seed, of which every trouble has as many as every other one, and every way nearly so. As many seeds in a row as
 * the share says have every trouble with every way. When and whom a trouble hits is drawn, too.
 */
export function roundsFrom(seed: number, { share, times }: Amount): Round[] {
  const pairs = (Object.keys(WAYS) as Way[]).flatMap((way, nthWay) =>
    Object.entries<Trouble>(WAYS[way].troubles)
      .filter((_, nthTrouble) => (nthWay + nthTrouble + seed) % share === 0)
      .map(([what, trouble]) => ({ way, what, trouble })),
  );
  const all = Array.from({ length: times }, () => pairs).flat();
  return all.flatMap((pair, index) =>
    fc.sample(drawn(pair.way), { numRuns: 1, seed: seed + index }).map((draw) => ({ ...pair, ...draw, nth: index + 1 })),
  );
}

/** The Boxfile of a version that is deployed in this way. */
export function boxfileOf(way: Way, version: string): string {
  return WAYS[way].boxfile(version);
}

function drawn(way: Way) {
  return fc.record({
    box: fc.constantFrom(1 as const, 2 as const),
    cache: fc.constantFrom(1 as const, 2 as const),
    isNew: way === "as it is" ? fc.boolean() : fc.constant(true),
    afterMs: fc.integer({ min: 0, max: WAYS[way].longestMs }),
    onMs: fc.integer({ min: 0, max: 3_000 }),
  });
}

async function afterKilling(server: string, service: string, work: Work): Promise<void> {
  await mustInServer(server, "systemctl", "kill", "--signal=KILL", service);
  await work();
}

/** There may be none yet, or any more; control starts it again by itself. */
async function afterLosing(server: string, work: Work): Promise<void> {
  await powerOff(server).catch(() => undefined);
  await work();
}
