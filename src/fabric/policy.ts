import { OPERATOR, type Policy } from "#contract/policy.ts";
import { isCalled, matches, type TargetView } from "./targets/match.ts";

/**
 * Whether a caller may ask this server for an action; the same answer at both ends, each from what it knows of the server.
 * That view costs something to make and is asked for only when a grant depends on it.
 */
export async function mayAsk(
  policy: Policy,
  { caller, action }: { caller: string; action: string },
  view: () => TargetView | Promise<TargetView>,
): Promise<boolean> {
  if (caller === OPERATOR) return true;
  const grants = Object.hasOwn(policy, caller) ? (policy[caller] ?? []) : [];
  for (const { actions, target } of grants)
    if (actions.some((pattern) => isCalled(action, pattern)) && (await matches(target, await view()))) return true;
  return false;
}
