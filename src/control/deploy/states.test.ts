import { describe, expect, expectTypeOf, test } from "vitest";
import type { DeploymentState } from "#contract/deployment.ts";
import { type Before, FINAL_STATES, type FinalState, isBefore, isFinal, NEXT } from "./states.ts";

const STATES = Object.keys(NEXT) as DeploymentState[];

describe("the table of states", () => {
  test("lets every deployment end, wherever it stands", () => {
    for (const state of STATES) expect(reachable(state).some(isFinal), state).toBe(true);
  });

  test("never leads back", () => {
    for (const state of STATES) expect(reachable(state, NEXT[state])).not.toContain(state);
  });

  test("lets a deployment fail quietly only before any server has been asked to switch", () => {
    expect(STATES.filter((state) => isBefore(state, "failed"))).toEqual(["received", "building", "staging", "staged"]);
  });

  test("knows its final states, as values and as types", () => {
    expect(STATES.filter(isFinal).sort()).toEqual([...FINAL_STATES].sort());
    expectTypeOf<FinalState>().toEqualTypeOf<"live" | "rolled-back" | "failed" | "superseded">();
  });

  test("says from where a deployment may go live or be rolled back", () => {
    expectTypeOf<Before<"live">>().toEqualTypeOf<"verifying" | "updating">();
    expectTypeOf<Before<"rolled-back">>().toEqualTypeOf<"switching" | "verifying" | "updating">();
  });
});

function reachable(from: DeploymentState, next: readonly DeploymentState[] = [from]): DeploymentState[] {
  return next.flatMap((state) => [state, ...reachable(state, NEXT[state])]);
}
