import { Fault, faultFromReport } from "#base/fault.ts";
import { findCommit } from "#contract/actions/git.ts";
import type { Deployment } from "#contract/deployment.ts";
import type { CommitId, ServerName, WebsiteId } from "#contract/names.ts";
import type { ControlFabric } from "#fabric/fabric.ts";
import * as deployments from "../store/deployments.ts";
import type { Store } from "../store/schema.ts";
import { listServerRows } from "../store/servers.ts";
import { readWebsite } from "../store/websites.ts";
import type { ApiContext } from "./context.ts";
import type { Handler } from "./handler.ts";

export const listDeployments: Handler<"listDeployments"> = async ({ store }, { input: { website, limit } }) => {
  if (website !== undefined) await readWebsite(store, website);
  return deployments.listDeployments(store, website === undefined ? { limit } : { website, limit });
};

export const showDeployment: Handler<"showDeployment"> = ({ store }, { params: { deployment } }) => readDeployment(store, deployment);

export const deploymentEvents: Handler<"deploymentEvents"> = async ({ store }, { params: { deployment }, input: { after } }) => {
  const found = await deployments.deploymentEvents(store, deployment, after);
  if (found === null) throw unknownDeployment(deployment);
  return found;
};

export const deploy: Handler<"deploy"> = async (context, { params: { website }, input: { revision, holdSeconds = null }, caller }) => {
  const { store, fabric } = context;
  await readWebsite(store, website);
  const { commit, refusals, warnings, needsBuild } = await askGit(fabric, await gitServer(store), { website, revision });
  if (refusals.length > 0)
    throw new Fault("deployment.refused", `${revision} cannot be deployed:\n${refusals.join("\n")}`, {
      next: "correct it and push, or deploy another commit",
    });
  const deployment = await order(context, { website, kind: "deploy", commit, caller: caller.name, holdSeconds, needsBuild });
  return { deployment, warnings };
};

export const rollback: Handler<"rollback"> = async (context, { params: { website }, input: { to }, caller }) => {
  const { release } = await readWebsite(context.store, website);
  const good = await deployments.listGoodReleases(context.store, website);
  const commit = to === undefined ? previousOf(website, release, good) : findRelease(website, to, good);
  if (commit === release)
    throw new Fault("deployment.is-live", `${website} serves ${commit.slice(0, 7)} already`, {
      next: `repair its servers with: boxyard deploy ${website} --ref ${commit.slice(0, 7)}`,
    });
  return order(context, { website, kind: "rollback", commit, caller: caller.name, holdSeconds: null, needsBuild: false });
};

export const cancelDeployment: Handler<"cancelDeployment"> = async ({ store, deployer }, { params: { deployment: id }, caller }) => {
  if (!(await deployer.cancel(id, caller.name))) throw unknownDeployment(id);
  return readDeployment(store, id);
};

async function askGit(fabric: ControlFabric, server: ServerName, asked: { website: WebsiteId; revision: string }) {
  const [answer] = await fabric.askAll(findCommit, [server], asked);
  if (answer?.output !== undefined) return answer.output;
  throw answer === undefined ? new Error("no answer at all") : faultFromReport(answer.fault);
}

async function order({ store, deployer }: ApiContext, wanted: deployments.DeploymentOrder): Promise<Deployment> {
  return readDeployment(store, await deployer.order(wanted));
}

async function readDeployment(store: Store, id: number): Promise<Deployment> {
  const found = await deployments.showDeployment(store, id);
  if (found === null) throw unknownDeployment(id);
  return found;
}

async function gitServer(store: Store): Promise<ServerName> {
  const found = (await listServerRows(store)).find(({ roles, state }) => roles.includes("git") && state === "present");
  if (found === undefined) throw new Fault("deployment.no-git", "the yard has no git server", { next: "boxyard server list" });
  return found.name;
}

/** The release that was live before the present one: going back twice ends where it began. */
function previousOf(website: WebsiteId, release: CommitId | null, good: readonly CommitId[]): CommitId {
  const previous = good.find((commit) => commit !== release);
  if (previous !== undefined) return previous;
  throw new Fault("deployment.no-release", `${website} has no release to go back to`, { next: `boxyard deployment list ${website}` });
}

function findRelease(website: WebsiteId, start: string, good: readonly CommitId[]): CommitId {
  const [found, another] = good.filter((commit) => commit.startsWith(start));
  if (found === undefined)
    throw new Fault("deployment.no-release", `no release of ${website} begins with ${start}`, {
      next: `boxyard deployment list ${website}; a commit that never was live: boxyard deploy ${website} --ref ${start}`,
    });
  if (another === undefined) return found;
  throw new Fault("deployment.ambiguous-release", `${start} begins ${found.slice(0, 12)} and ${another.slice(0, 12)}`, {
    next: "give more digits",
  });
}

function unknownDeployment(id: number): Fault {
  return new Fault("deployment.unknown", `there is no deployment ${id}`, { next: "see which there are: boxyard deployment list" });
}
