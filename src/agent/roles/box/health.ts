import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { reportFault } from "#base/fault.ts";
import type { Log } from "#base/log.ts";
import type { WebsiteOnServer } from "#contract/spec/website.ts";
import type { WebsiteReleases } from "../../website/releases/website-releases.ts";

/** There when the box has converged, to a spec of today, since it was started; gone after a boot. */
export const READY_MARKER = "/run/boxyard/box-ready";

/** Says READY, or why the box must not get visitors, in one line; gone after a boot. The web server answers the caches' probes from it. */
export const HEALTH_FILE = "/run/boxyard/box-health";
export const READY = "ready";

export interface HealthOptions {
  readonly isConverged: () => boolean;
  /** Whether the bus has said that what the box converges to is of today. */
  readonly isConfirmed: () => boolean;
  /** What the box should carry now; null before the first spec. */
  readonly websites: () => readonly WebsiteOnServer[] | null;
  readonly releases: Pick<WebsiteReleases, "expected" | "live">;
  readonly log: Log;
  /** For how long the bus is waited for; `GRACE_MS` by default. */
  readonly graceMs?: number;
  /** The server's own places by default. */
  readonly marker?: string;
  readonly file?: string;
}

/**
 * What lies on the disk of a box that was off may be of yesterday. But when nobody can say, because all of the yard was
 * started anew without its control server, a cluster serves what it has: a deployment that went by without a box has
 * fenced it, and caches keep to that.
 */
const GRACE_MS = 60_000;

/** What changes without anybody telling: time that has passed, and links that were moved by hand. */
const LOOK_EVERY_MS = 5_000;

/** What the box says of itself to the caches' probes, on the web server's lips. */
export interface Health {
  /** Looks, and writes down what is new, before it returns: no look can overtake another. Throws nothing. */
  look(): void;
  /** Ends the looking; what was said last stays, so that an agent that is replaced takes its box from no visitor. */
  stop(): void;
}

/** Looks at once, then every five seconds and whenever it is told to. */
export function startHealth(options: HealthOptions): Health {
  const { file = HEALTH_FILE, log } = options;
  const reasonAgainst = reasons(options);
  let said: string | undefined;
  let told: string | undefined;
  const look = (): void => {
    const text = verdict(reasonAgainst);
    if (text === said && existsSync(file)) return;
    const fault = faultOf(() => say(file, text));
    said = fault === undefined ? text : undefined;
    // What cannot be written down must not leave what was said before: without the file the box gets no visitors.
    if (fault !== undefined) faultOf(() => rmSync(file, { force: true }));
    if (fault !== undefined && fault !== told) log.error({ fault }, "cannot say whether this box may get visitors");
    told = fault;
  };
  look();
  const timer = setInterval(look, LOOK_EVERY_MS);
  return { look, stop: () => clearInterval(timer) };
}

function verdict(reasonAgainst: () => string | null): string {
  try {
    return reasonAgainst() ?? READY;
  } catch (thrown) {
    return `cannot tell: ${reportFault(thrown).message.replaceAll("\n", " ")}`;
  }
}

/**
 * Why the box must not get visitors, or null. Having converged once since boot is enough: a spec that has just arrived,
 * or that a checker refuses on all boxes alike, must not take a whole cluster off the air. Wrong releases always count.
 */
function reasons(options: HealthOptions): () => string | null {
  const { websites, releases } = options;
  const whyNotYet = notRightYet(options);
  return () => {
    const carried = websites();
    if (carried === null) return "there is no spec yet";
    const notYet = whyNotYet();
    if (notYet !== null) return notYet;
    for (const website of carried) {
      const [live, expected] = [releases.live(website.id), releases.expected(website)];
      if (live !== expected) return `${website.id} serves ${live ?? "no release"}, not ${expected ?? "none"}`;
    }
    return null;
  };
}

/** Why the box has not been right since it was started; null from the moment at which it was, be it under the agent before this one. */
function notRightYet({ isConverged, isConfirmed, graceMs = GRACE_MS, marker = READY_MARKER }: HealthOptions): () => string | null {
  const startedAtMs = performance.now();
  return () => {
    if (existsSync(marker)) return null;
    if (!isConverged()) return "not converged yet";
    if (!isConfirmed() && performance.now() - startedAtMs <= graceMs) return "nobody has said yet that what is here is of today";
    replaceFile(marker, "");
    return null;
  };
}

/** Writes nothing when it stands there already, also from the agent before this one. */
function say(file: string, text: string): void {
  const content = `${text}\n`;
  if (!existsSync(file) || readFileSync(file, "utf8") !== content) replaceFile(file, content);
}

/** Readers see the old or the new content, never a part. There is one writer, and nothing here is to survive a boot. */
function replaceFile(path: string, content: string): void {
  const next = `${path}.new`;
  mkdirSync(dirname(path), { recursive: true });
  rmSync(next, { force: true });
  writeFileSync(next, content, { flag: "wx", mode: 0o644 });
  renameSync(next, path);
}

function faultOf(act: () => void): string | undefined {
  try {
    act();
    return undefined;
  } catch (thrown) {
    return reportFault(thrown).message;
  }
}
