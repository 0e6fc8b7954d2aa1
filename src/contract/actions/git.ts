import { z } from "zod";
import { action } from "../action.ts";
import { BranchName, CommitId, WebsiteId } from "../names.ts";

/** Finds the commit that a branch, a tag or the start of a commit's id names, and checks all that a push of it would have to pass. */
export const findCommit = action("git.find-commit", {
  summary: "Find and check the commit that a revision names",
  /** What a branch may be called, a tag may be called, too. */
  input: z.object({ website: WebsiteId, revision: BranchName }),
  /** `refusals` empty: it may be deployed. */
  output: z.object({
    commit: CommitId,
    refusals: z.array(z.string()).readonly(),
    warnings: z.array(z.string()).readonly(),
    /** Whether it has to be built before it is a release, and was not yet. */
    needsBuild: z.boolean(),
  }),
  timeoutMs: 60_000,
  idempotent: true,
  faults: ["git.unknown-website", "git.unknown-revision"],
});

/** Tells the git server how a push ended: a push that did not go live gives its branch back to the previous commit. */
export const settlePush = action("git.settle-push", {
  summary: "Note how a push ended",
  input: z.object({ website: WebsiteId, pushId: z.string(), isLive: z.boolean(), reason: z.string().nullable() }),
  output: z.object({ branch: CommitId.nullable() }),
  timeoutMs: 10_000,
  idempotent: true,
  faults: ["git.unknown-push"],
});
