import { z } from "zod";
import { action } from "../action.ts";
import { CommitId, WebsiteId } from "../names.ts";

/** Bans every object of the website that another release than `keep` produced (all of them when null). */
export const banPages = action("cache.ban-pages", {
  summary: "Ban a website's pages that other releases produced",
  input: z.object({ website: WebsiteId, keep: CommitId.nullable() }),
  output: z.object({ banned: z.literal(true) }),
  timeoutMs: 5_000,
  idempotent: true,
  faults: ["cache.varnish-down"],
});
