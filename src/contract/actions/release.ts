import { z } from "zod";
import { action } from "../action.ts";
import { Procedure } from "../boxfile.ts";
import { CommitId, Timestamp, WebsiteId } from "../names.ts";

const ofRelease = z.object({ website: WebsiteId, release: CommitId });

/** Fetches and materialises a release beside the live one; the live one stays as it is. Repeating it is cheap. */
export const stage = action("release.stage", {
  summary: "Stage a release beside the live one",
  input: ofRelease,
  output: z.object({ stagedAt: Timestamp, filesChanged: z.int(), procedure: Procedure }),
  timeoutMs: 120_000,
  idempotent: true,
  faults: ["release.no-space", "release.stage-failed", "release.unknown-website"],
});

/**
 * Makes a staged release live at `at` by one atomic rename (or at once when `at` has passed by less than `latestMs`;
 * later it refuses with "release.too-late"). Also switches back: the previous release is still staged. It stands against
 * the spec until that tells of `decision` or a later one. `waitedMs`: for how long the server had been ready when the instant
 * came; 0 when it came too soon, null when the release was live before.
 */
export const switchTo = action("release.switch", {
  summary: "Make a staged release live at an agreed instant",
  input: ofRelease.extend({ at: Timestamp, latestMs: z.int().positive(), decision: z.int().positive() }),
  output: z.object({ switchedAt: Timestamp, previous: CommitId.nullable(), waitedMs: z.number().nonnegative().nullable() }),
  timeoutMs: 15_000,
  idempotent: true,
  faults: ["release.not-staged", "release.too-late", "release.switch-failed"],
});

/** Takes the website off: the state before the first deployment; used to undo a first deployment. */
export const withdraw = action("release.withdraw", {
  summary: "Take the live release off, leaving none",
  input: z.object({ website: WebsiteId, decision: z.int().positive() }),
  output: z.object({ previous: CommitId.nullable() }),
  timeoutMs: 15_000,
  idempotent: true,
  faults: ["release.switch-failed"],
});

/** The fault of a website that takes too long with a page; its web server is there. */
export const SLOW_PAGE = "release.slow-page";

/** On a box: asks its own Apache for the website's front page and answers with the release that served it. */
export const probe = action("release.probe", {
  summary: "Ask the website's own web server which release it serves",
  input: z.object({ website: WebsiteId, path: z.string().startsWith("/").max(500) }),
  output: z.object({ release: CommitId.nullable(), status: z.int(), durationMs: z.number() }),
  timeoutMs: 15_000,
  idempotent: true,
  faults: ["release.no-answer", SLOW_PAGE, "release.unknown-website"],
});
