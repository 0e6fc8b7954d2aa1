import type { z } from "zod";
import type { api } from "#contract/api.ts";
import { createCluster, deleteCluster, listClusters, scaleCluster, showCluster } from "./clusters.ts";
import type { ApiContext } from "./context.ts";
import { deploymentEvents, listDeployments, showDeployment } from "./deployments.ts";
import { addDomain, removeDomain } from "./domains.ts";
import { addKey, listKeys, removeKey } from "./keys.ts";
import { readLogs } from "./logs.ts";
import { listServers, ping } from "./servers.ts";
import { status } from "./status.ts";
import { createWebsite, deleteWebsite, listWebsites, showWebsite } from "./websites.ts";

type Api = typeof api;

/** What a route's handler gets and gives, inferred from the contract. */
export type Handler<K extends keyof Api> = (
  context: ApiContext,
  given: { readonly params: z.output<Api[K]["params"]>; readonly input: z.output<Api[K]["input"]> },
) => Promise<z.input<Api[K]["output"]>>;

/** One handler for each route of the contract. */
export const handlers: { readonly [K in keyof Api]: Handler<K> } = {
  status,
  listServers,
  ping,
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
  deploymentEvents,
  readLogs,
};
