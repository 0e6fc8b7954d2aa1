import { Fault } from "#base/fault.ts";
import * as deployments from "../store/deployments.ts";
import { readWebsite } from "../store/websites.ts";
import type { Handler } from "./handler.ts";

export const listDeployments: Handler<"listDeployments"> = async ({ store }, { input: { website, limit } }) => {
  if (website !== undefined) await readWebsite(store, website);
  return deployments.listDeployments(store, website === undefined ? { limit } : { website, limit });
};

export const showDeployment: Handler<"showDeployment"> = async ({ store }, { params: { deployment } }) => {
  const found = await deployments.showDeployment(store, deployment);
  if (found === null) throw unknownDeployment(deployment);
  return found;
};

export const deploymentEvents: Handler<"deploymentEvents"> = async ({ store }, { params: { deployment }, input: { after } }) => {
  const found = await deployments.deploymentEvents(store, deployment, after);
  if (found === null) throw unknownDeployment(deployment);
  return found;
};

function unknownDeployment(id: number): Fault {
  return new Fault("deployment.unknown", `there is no deployment ${id}`, { next: "see which there are: boxyard deployment list" });
}
