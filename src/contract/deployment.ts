import { z } from "zod";
import { ClusterId, CommitId, Role, ServerName, Timestamp, WebsiteId } from "./names.ts";

/** The states of a deployment; `live`, `rolled-back`, `failed` and `superseded` are final. */
export const DeploymentState = z.enum([
  "received",
  "building",
  "staging",
  "staged",
  "switching",
  "verifying",
  "updating",
  "live",
  "rolled-back",
  "failed",
  "superseded",
]);
export type DeploymentState = z.infer<typeof DeploymentState>;

/** A server's part in a deployment. */
export const DeploymentServer = z.object({
  name: ServerName,
  role: Role,
  stagedAt: Timestamp.nullable(),
  /** By its own clock. */
  switchedAt: Timestamp.nullable(),
  /** By how much that clock was ahead of control's, as far as was known then. */
  clockOffsetMs: z.number().nullable(),
  error: z.string().nullable(),
  /** Whether the deployment goes on without it: it is fenced until it serves the live release. */
  isLeftOut: z.boolean(),
});
export type DeploymentServer = z.infer<typeof DeploymentServer>;

/** Why there is a deployment: somebody pushed, asked for a commit, or asked for a release of before. */
export const DeploymentKind = z.enum(["push", "deploy", "rollback"]);
export type DeploymentKind = z.infer<typeof DeploymentKind>;

/** A deployment as the API and `deployment show --json` give it. */
export const Deployment = z.object({
  id: z.int().positive(),
  website: WebsiteId,
  cluster: ClusterId,
  kind: DeploymentKind,
  commit: CommitId,
  /** The release that was live before; null before there was one, and until the deployment has begun. */
  previous: CommitId.nullable(),
  state: DeploymentState,
  /** Why it failed or was rolled back; null otherwise. */
  reason: z.string().nullable(),
  /** The moment the git server took the push, or control the order. */
  acceptedAt: Timestamp,
  finishedAt: Timestamp.nullable(),
  /** Id of the push that caused it; null when somebody asked for it. */
  push: z.string().nullable(),
  /** Who asked for it; null for a push. */
  caller: z.string().nullable(),
  servers: z.array(DeploymentServer),
});
export type Deployment = z.infer<typeof Deployment>;
