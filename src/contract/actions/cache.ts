import { z } from "zod";
import { action } from "../action.ts";
import { HoldSeconds } from "../boxfile-deploy.ts";
import { DomainName } from "../domain.ts";
import { CommitId, Timestamp, WebsiteId } from "../names.ts";

/** Bans every object of the website that another release than `keep` produced (all of them when null). */
export const banPages = action("cache.ban-pages", {
  summary: "Ban a website's pages that other releases produced",
  input: z.object({ website: WebsiteId, keep: CommitId.nullable() }),
  output: z.object({ banned: z.literal(true) }),
  timeoutMs: 5_000,
  idempotent: true,
  faults: ["cache.varnish-down"],
});

/**
 * From now until `cache.let-go`, and not longer than until `until`: what is in the cache goes on being served, and requests
 * that need a box wait, each for at most `seconds`; who has waited so long is asked to come again. Asked once more it takes
 * the new values. It outlives the agent and the server.
 */
export const holdRequests = action("cache.hold", {
  summary: "Let a website's visitors wait instead of sending them to boxes",
  input: z.object({ website: WebsiteId, domains: z.array(DomainName).max(1_000), seconds: HoldSeconds, until: Timestamp }),
  output: z.object({ held: z.literal(true) }),
  timeoutMs: 5_000,
  idempotent: true,
  faults: [],
});

/** Ends `cache.hold`; visitors who wait go on within a quarter of a second. */
export const letGo = action("cache.let-go", {
  summary: "Send a website's waiting visitors to boxes",
  input: z.object({ website: WebsiteId }),
  output: z.object({ held: z.literal(false) }),
  timeoutMs: 5_000,
  idempotent: true,
  faults: [],
});
