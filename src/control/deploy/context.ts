import type { Clock } from "#base/clock.ts";
import type { Log } from "#base/log.ts";
import type { ClusterId, ServerName, WebsiteId } from "#contract/names.ts";
import type { ControlFabric } from "#fabric/fabric.ts";
import type { Rotation } from "../rotation/rotation.ts";
import type { Store } from "../store/schema.ts";
import type { Lead, LeadBounds } from "./lead.ts";
import type { Sweeper } from "./sweeper.ts";

/** The times of the deployment process; tests shorten them. */
export interface Timing {
  readonly lead: LeadBounds;
  /** How long a server that is away or has not heard of the website yet may take to appear before staging fails for want of it. */
  readonly appearMs: number;
  /** The same, before the deployment goes on without it. */
  readonly fenceMs: number;
  /** How late a server may switch; after that it refuses. */
  readonly latestMs: number;
  /** How long after `latestMs` an answer may be on its way. */
  readonly answerMs: number;
  /** How long a box may take to serve the release without an error. */
  readonly verifyMs: number;
  /** Pause before a hook that runs is asked again how it gets on. */
  readonly hookLookMs: number;
  /** How long the shell server may be out of reach while its hook runs, before that counts as failed. */
  readonly hookAwayMs: number;
  /** How long a builder may take to be there, or be out of reach. */
  readonly builderMs: number;
  /** How long caches let visitors wait when nobody tells them to stop. */
  readonly holdMs: number;
  /** How often they are told again while an update runs, for the sake of caches that did not hear it. */
  readonly holdAgainMs: number;
  /** Pause between two attempts of a step within a deployment. */
  readonly againMs: number;
  /** Pause after a fault of the outer world (database, broker), before the deployment goes on. */
  readonly retryMs: number;
  /** Pause before a git server that has not answered is told again how its pushes ended. */
  readonly settleMs: number;
  /** When pages are banned once more after the last ban: an answer that a box began before the switch may be stored after it. */
  readonly sweepsMs: readonly number[];
}

export const TIMING: Timing = {
  lead: { firstMs: 120, shortestMs: 20, longestMs: 250 },
  appearMs: 20_000,
  fenceMs: 5_000,
  latestMs: 1_500,
  answerMs: 500,
  verifyMs: 3_000,
  hookLookMs: 250,
  hookAwayMs: 60_000,
  builderMs: 180_000,
  holdMs: 15 * 60_000,
  holdAgainMs: 3_000,
  againMs: 150,
  retryMs: 1_000,
  settleMs: 3_000,
  sweepsMs: [2_000, 10_000, 60_000],
};

/** Servers that are made for one build and thrown away. */
export interface Builders {
  /** The website has one, or will have it in a moment; gives its name. */
  ensure(site: { readonly website: WebsiteId; readonly cluster: ClusterId }): Promise<ServerName>;
  /** Those that nothing is built on go. */
  retire(): Promise<void>;
}

/** What every part of the deployment process needs. */
export interface DeployContext {
  readonly store: Store;
  readonly fabric: ControlFabric;
  readonly log: Log;
  readonly clock: Clock;
  readonly timing: Timing;
  readonly lead: Lead;
  readonly sweeper: Sweeper;
  readonly rotation: Rotation;
  readonly builders: Builders;
  /** What ends this process's work on a deployment, by its id. */
  readonly underWay: Map<number, AbortController>;
  /** What runs after deployments that are live, by their ids. */
  readonly afterwards: Map<number, Promise<void>>;
  /** Told (without data) when a website's release has changed in the rows: the planner is to look again. */
  readonly onRowsChanged: () => void;
  /** Aborts when the control service stops, or the deployment at hand was cancelled; it then stays as persisted. */
  readonly signal: AbortSignal;
}
