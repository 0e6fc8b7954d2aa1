import type { Log } from "#base/log.ts";
import type { Enrolment } from "#contract/enrolment.ts";
import type { CommitId, WebsiteId } from "#contract/names.ts";
import type { ServerSpec } from "#contract/spec/server.ts";
import type { AgentFabric } from "#fabric/fabric.ts";
import type { ResourceGroup } from "../converge/resource.ts";

/** What a role may use of the agent that carries it. */
export interface RoleContext {
  readonly enrolment: Enrolment;
  readonly fabric: AgentFabric;
  readonly log: Log;
  /** Asks for another convergence turn soon. */
  readonly nudge: () => void;
  /** Sends a heartbeat soon: what `releases` says has changed without a convergence turn. */
  readonly beat: () => void;
  /** The spec as last verified, from the bus or from disk; null before the first. */
  readonly currentSpec: () => ServerSpec | null;
  /** Whether the bus has given this spec since the agent began; false while all that is known of it lies on the disk. */
  readonly isConfirmed: () => boolean;
  /** Whether the last convergence turn reached the current spec without a fault. */
  readonly isConverged: () => boolean;
}

/** A role while its agent runs; S is its part of the spec. */
export interface RunningRole<S> {
  /** What the server should have for this role; called at each turn, acts on nothing. */
  groups(spec: S, server: ServerSpec): ResourceGroup[];
  /** The live release of each website that this role carries, for the heartbeat. */
  releases?(): Record<WebsiteId, CommitId | null>;
  /** Called at once when the context may answer otherwise than before; quick, and throws nothing. */
  look?(): void;
  /** Ends what `start` began. May be called twice. */
  stop(): Promise<void>;
}

/** Begins a role: registers its actions, opens its sockets. */
export type StartRole<S> = (context: RoleContext) => Promise<RunningRole<S>>;
