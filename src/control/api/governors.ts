import { Fault } from "#base/fault.ts";
import { operatorActions } from "#contract/actions/operator.ts";
import { isCalled } from "#fabric/targets/match.ts";
import * as governors from "../store/governors.ts";
import type { Handler } from "./handler.ts";

export const listGovernors: Handler<"listGovernors"> = ({ store }) => governors.listGovernors(store);

export const putGovernor: Handler<"putGovernor"> = async ({ store }, { input }) => {
  for (const pattern of input.actions)
    if (!operatorActions.some(({ name }) => isCalled(name, pattern)))
      throw new Fault("governor.invalid", `there is no action “${pattern}”`, { next: "boxyard actions lists them" });
  await governors.putGovernor(store, input);
  const made = (await governors.listGovernors(store)).find(({ name }) => name === input.name);
  if (made === undefined) throw new Fault("governor.unknown", `the governor ${input.name} was removed at the same moment`);
  return made;
};

export const removeGovernor: Handler<"removeGovernor"> = async ({ store }, { params: { governor: name } }) => {
  await governors.deleteGovernor(store, name);
  return { name };
};
