import { z } from "zod";
import { action } from "../action.ts";
import { CommitId, WebsiteId } from "../names.ts";

/**
 * On a builder: builds the commit as its Boxfile says, and brings what came of it to the git server; begun once, and asked
 * again and again until it has ended. Tells what the commands have said since `after`.
 */
export const runBuild = action("build.run", {
  summary: "Build a release once, and tell how it gets on",
  input: z.object({
    website: WebsiteId,
    commit: CommitId,
    /** Cursor of an earlier answer: only what came since; null for all. */
    after: z.string().max(500).nullable(),
  }),
  output: z.object({
    state: z.enum(["running", "done", "failed", "timed-out", "lost"]),
    /** Of commands that have ended by themselves. */
    exitStatus: z.int().nullable(),
    lines: z.array(z.string()),
    cursor: z.string().nullable(),
    /** What the git server has now; null until it is done. */
    build: CommitId.nullable(),
  }),
  timeoutMs: 10_000,
  idempotent: true,
  faults: ["build.not-prepared", "build.not-brought", "release.unknown-website"],
});
