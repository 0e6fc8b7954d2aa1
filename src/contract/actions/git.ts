import { z } from "zod";
import { action } from "../action.ts";
import { CommitId, WebsiteId } from "../names.ts";

/** Tells the git server how a push ended: a push that did not go live gives its branch back to the previous commit. */
export const settlePush = action("git.settle-push", {
  summary: "Note how a push ended",
  input: z.object({ website: WebsiteId, pushId: z.string(), isLive: z.boolean(), reason: z.string().nullable() }),
  output: z.object({ branch: CommitId.nullable() }),
  timeoutMs: 10_000,
  idempotent: true,
  faults: ["git.unknown-push"],
});
