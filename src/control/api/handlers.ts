import { audit } from "./audit.ts";
import { createCluster, deleteCluster, listClusters, scaleCluster, showCluster } from "./clusters.ts";
import { cancelDeployment, deploy, deploymentEvents, listDeployments, rollback, showDeployment } from "./deployments.ts";
import { addDomain, removeDomain } from "./domains.ts";
import { events } from "./events.ts";
import { listGovernors, putGovernor, removeGovernor } from "./governors.ts";
import type { Handlers } from "./handler.ts";
import { cancelJob, listJobs, showJob, watchJob } from "./jobs.ts";
import { addKey, listKeys, removeKey } from "./keys.ts";
import { readLogs } from "./logs.ts";
import { addPerson, changePerson, listPeople, removePerson, renewToken } from "./people.ts";
import { addRule, listRules, removeRule } from "./policy.ts";
import { cancelRequest, request } from "./requests.ts";
import { findServers, listServers, readmitServer, renewServer, revokeServer } from "./servers.ts";
import { setLimits, setPackageSources, showLimits, showPackageSources } from "./settings.ts";
import { status } from "./status.ts";
import { createWebsite, deleteWebsite, listWebsites, showWebsite } from "./websites.ts";

/** One handler for each route of the contract. */
export const handlers: Handlers = {
  status,
  listServers,
  findServers,
  revokeServer,
  readmitServer,
  renewServer,
  request,
  cancelRequest,
  audit,
  events,
  listJobs,
  showJob,
  watchJob,
  cancelJob,
  showLimits,
  setLimits,
  showPackageSources,
  setPackageSources,
  listGovernors,
  putGovernor,
  removeGovernor,
  listPeople,
  addPerson,
  changePerson,
  renewToken,
  removePerson,
  listRules,
  addRule,
  removeRule,
  createCluster,
  listClusters,
  showCluster,
  scaleCluster,
  deleteCluster,
  createWebsite,
  listWebsites,
  showWebsite,
  deleteWebsite,
  addDomain,
  removeDomain,
  addKey,
  listKeys,
  removeKey,
  listDeployments,
  showDeployment,
  deploy,
  rollback,
  cancelDeployment,
  deploymentEvents,
  readLogs,
};
