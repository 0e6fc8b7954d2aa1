import type { ColumnType, Generated, JSONColumnType } from "kysely";
import type { HookName } from "#contract/boxfile.ts";
import type { DeploymentKind, DeploymentState } from "#contract/deployment.ts";
import type { Event } from "#contract/events.ts";
import type { ClusterId, CommitId, Role, ServerName, WebsiteId } from "#contract/names.ts";

/** Microseconds since 1970 in a bigint column, which the driver gives as text. */
type Micros = ColumnType<string, number, number>;
type NullableMicros = ColumnType<string | null, number | null, number | null>;

/** A deployment; no foreign key to the website, so that the history outlives it. */
export interface DeploymentTable {
  id: Generated<number>;
  website: WebsiteId;
  cluster: ClusterId;
  commit: CommitId;
  /** The release that was live before; known from `staging` on. */
  previous: CommitId | null;
  state: DeploymentState;
  reason: string | null;
  kind: ColumnType<DeploymentKind, DeploymentKind | undefined, never>;
  /** Of a push, as the server that took it; null for the other kinds. */
  push: string | null;
  git_server: ServerName | null;
  branch: string;
  /** Who asked for it; null for a push. */
  caller: string | null;
  /** Whether its commit had to be built when it was asked for. */
  needs_build: Generated<boolean>;
  accepted_at: Micros;
  finished_at: NullableMicros;
  /** The agreed instant of the last switch that was asked for. */
  switch_at: NullableMicros;
  /** The hooks that it runs; known from `staged` on. */
  hooks: ColumnType<HookName[], never, string>;
  /** How long visitors' requests may wait from the switch on: as ordered, or, from `staged` on, as its release says; null: they do not. */
  hold_seconds: number | null;
  /** Whether databases are kept as they are before `update`; known from `staged` on. */
  snapshots_databases: Generated<boolean>;
  /** Whether they have been, so that they are put back when it turns back. */
  has_snapshot: Generated<boolean>;
  /** Whether it was decided to switch back; the decision is never taken back. */
  is_turning_back: Generated<boolean>;
  /** Whether it is live and `hooks.after` has not ended. */
  is_after_due: Generated<boolean>;
  /** Whether the git server has been told how it ended. */
  is_settled: Generated<boolean>;
}

/** A server's part in a deployment. */
export interface DeploymentServerTable {
  deployment: number;
  server: ServerName;
  role: Role;
  staged_at: NullableMicros;
  switched_at: NullableMicros;
  /** By how much its clock, which `switched_at` is of, was known to be ahead of control's. */
  clock_offset: NullableMicros;
  error: string | null;
  /** Whether the deployment goes on without it. */
  is_left_out: Generated<boolean>;
}

/** What happened in a deployment, in the order of `seq`. */
interface DeploymentEventTable {
  seq: Generated<string>;
  deployment: number;
  event: JSONColumnType<Event>;
}

/** The deployments' part of the schema. */
export interface DeploymentTables {
  deployment: DeploymentTable;
  deployment_server: DeploymentServerTable;
  deployment_event: DeploymentEventTable;
}
