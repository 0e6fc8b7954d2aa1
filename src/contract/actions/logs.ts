import { z } from "zod";
import { action } from "../action.ts";
import { WebsiteId } from "../names.ts";

/** On a box: the last lines of a website's log and where to go on from. */
export const readLog = action("log.read", {
  summary: "Read the last lines of a website's log",
  input: z.object({
    website: WebsiteId,
    kind: z.enum(["access", "error"]),
    lines: z.int().min(1).max(1000),
    /** Cursor of an earlier answer: only what came since. */
    after: z.string().max(100).nullable(),
  }),
  output: z.object({ lines: z.array(z.string()), cursor: z.string() }),
  timeoutMs: 10_000,
  idempotent: true,
  faults: ["release.unknown-website"],
});
