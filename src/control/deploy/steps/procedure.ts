import type { Procedure } from "#contract/boxfile.ts";
import type { DeploymentRecord } from "../../store/deployments.ts";

const PLAIN: Procedure = { hooks: [], snapshotsDatabases: false, holdSeconds: null };

/** How this deployment goes, of what its release says (null while nobody knows it) and what was ordered. */
export function procedureOf({ kind, holdSeconds }: DeploymentRecord, said: Procedure | null): Procedure {
  const release = said ?? PLAIN;
  if (kind !== "rollback") return { ...release, holdSeconds: holdSeconds ?? release.holdSeconds };
  // A database that has moved on is not moved back by the hook of a release of before, and nobody waits for that.
  return { hooks: release.hooks.filter((hook) => hook !== "update"), snapshotsDatabases: false, holdSeconds };
}
