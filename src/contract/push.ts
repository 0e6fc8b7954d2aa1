import { z } from "zod";
import { BranchName, CommitId, ServerName, Timestamp, WebsiteId } from "./names.ts";

/** A push that the git server has accepted and recorded; published to stream PUSHES until control acknowledges it. */
export const Push = z.object({
  /** Unique; made by the git server: "<website>-<micros in base 36>". Also the message id, so that a repeated publish counts once. */
  id: z.string().max(80),
  website: WebsiteId,
  branch: BranchName,
  commit: CommitId,
  /** What the branch pointed at before; null for the first push. */
  previous: CommitId.nullable(),
  /** The moment the git server took the push. */
  acceptedAt: Timestamp,
  server: ServerName,
  /** Whether the commit has to be built before it is a release, and was not yet. */
  needsBuild: z.boolean().default(false),
});
export type Push = z.infer<typeof Push>;
