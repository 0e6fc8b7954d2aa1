import { Fault } from "#base/fault.ts";
import { operatorActions } from "#contract/actions/operator.ts";
import { OPERATOR } from "#contract/policy.ts";
import { isCalled, questionsOf } from "#fabric/targets/match.ts";
import { parseTarget } from "#fabric/targets/parse.ts";
import { findServers } from "../requests/resolve.ts";
import * as people from "../store/people.ts";
import type { Handler } from "./handler.ts";

export const listRules: Handler<"listRules"> = ({ store }) => people.listRules(store);

export const addRule: Handler<"addRule"> = async (context, { input: rule }) => {
  if (rule.role === OPERATOR) throw new Fault("policy.invalid", "operators may everything already");
  for (const pattern of rule.actions)
    if (!operatorActions.some(({ name }) => isCalled(name, pattern)))
      throw new Fault("policy.invalid", `there is no action “${pattern}”`, { next: "boxyard actions lists them" });
  const target = parseTarget(rule.target);
  if (questionsOf(target).length > 0)
    throw new Fault("policy.invalid", "a rule cannot depend on a live question: use names, roles, clusters, websites and facts");
  // Refuses words that no server is called by.
  await findServers(context, rule.target);
  const added = await people.insertRule(context.store, rule, target);
  await context.onRowsChanged();
  return added;
};

export const removeRule: Handler<"removeRule"> = async ({ store, onRowsChanged }, { params: { rule } }) => {
  await people.deleteRule(store, rule);
  await onRowsChanged();
  return { number: rule };
};
