import { z } from "zod";
import { action, streamAction } from "../action.ts";
import { WebsiteId } from "../names.ts";
import { Service } from "./service.ts";

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

/** Whose journal can be followed: the services of the roles, and what is Boxyard's own. */
const Journal = z.enum([...Service.options, "boxyard-agent", "boxyard-control"]);

/** Ends when it is cancelled. */
export const tailLog = streamAction("log.tail", {
  summary: "Follow the journal of a service, until Ctrl-C",
  input: z.object({ service: Journal, lines: z.int().min(0).max(1_000).default(10) }),
  part: z.object({ lines: z.array(z.string()) }),
  output: z.object({ lines: z.int() }),
  timeoutMs: 12 * 3_600_000,
  idempotent: true,
  faults: ["service.not-here"],
});
