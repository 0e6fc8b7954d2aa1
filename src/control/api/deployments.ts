import { Fault } from "#base/fault.ts";
import * as deployments from "../store/deployments.ts";
import { readWebsite } from "../store/websites.ts";
import type { Handler } from "./handlers.ts";

export const listDeployments: Handler<"listDeployments"> = async ({ store }, { input: { website, limit } }) => {
  if (website !== undefined) await readWebsite(store, website);
  return deployments.listDeployments(store, website === undefined ? { limit } : { website, limit });
};

export const showDeployment: Handler<"showDeployment"> = ({ store }, { params: { deployment } }) => requireDeployment(store, deployment);

export const deploymentEvents: Handler<"deploymentEvents"> = async ({ store }, { params: { deployment }, input: { after } }) => {
  await requireDeployment(store, deployment);
  return deployments.deploymentEvents(store, deployment, after);
};

async function requireDeployment(store: Parameters<typeof deployments.showDeployment>[0], id: number) {
  const found = await deployments.showDeployment(store, id);
  if (found !== null) return found;
  throw new Fault("deployment.unknown", `there is no deployment ${id}`, { next: "see which there are: boxyard deployment list" });
}
