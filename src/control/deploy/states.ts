import type { DeploymentState } from "#contract/deployment.ts";

/**
 * Which state may follow which: a push is `received`, waits its turn, and from `switching` on can only go live or be rolled back.
 *
 *     received ─► (building ─►) staging ─► staged ─► switching ─► verifying ─► (updating ─►) live
 *        │           └─► failed ◄─┘        ├────► rolled-back ◄──────┤
 *        └─► superseded, failed            └─ while visitors wait ─► updating
 */
export const NEXT = {
  received: ["building", "staging", "failed", "superseded"],
  building: ["staging", "failed"],
  staging: ["staged", "failed"],
  staged: ["switching", "failed"],
  switching: ["verifying", "updating", "rolled-back"],
  verifying: ["updating", "live", "rolled-back"],
  updating: ["live", "rolled-back"],
  live: [],
  "rolled-back": [],
  failed: [],
  superseded: [],
} as const satisfies Record<DeploymentState, readonly DeploymentState[]>;

/** The states that `To` may follow; the type system refuses any other. */
export type Before<To extends DeploymentState> = {
  [State in DeploymentState]: To extends (typeof NEXT)[State][number] ? State : never;
}[DeploymentState];

/** The states that a deployment never leaves. */
export type FinalState = { [State in DeploymentState]: (typeof NEXT)[State] extends readonly [] ? State : never }[DeploymentState];

/** The states that a deployment never leaves, as a list. */
export const FINAL_STATES: readonly FinalState[] = ["live", "rolled-back", "failed", "superseded"];

/** Whether `next` may follow this state. */
export function isBefore<To extends DeploymentState>(state: DeploymentState, next: To): state is Before<To> {
  const following: readonly DeploymentState[] = NEXT[state];
  return following.includes(next);
}

/** Whether a deployment in this state has ended. */
export function isFinal(state: DeploymentState): state is FinalState {
  return NEXT[state].length === 0;
}
