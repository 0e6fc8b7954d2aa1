import { auditRoutes } from "./audit.ts";
import { clusterRoutes } from "./clusters.ts";
import { deploymentRoutes } from "./deployments.ts";
import { domainRoutes } from "./domains.ts";
import { eventRoutes } from "./events.ts";
import { governorRoutes } from "./governors.ts";
import { jobRoutes } from "./jobs.ts";
import { keyRoutes } from "./keys.ts";
import { logRoutes } from "./logs.ts";
import { personRoutes } from "./people.ts";
import { policyRoutes } from "./policy.ts";
import { requestRoutes } from "./requests.ts";
import { serverRoutes } from "./servers.ts";
import { settingRoutes } from "./settings.ts";
import { statusRoutes } from "./status.ts";
import { websiteRoutes } from "./websites.ts";

/**
 * The HTTP API under /v1, all of it: bearer token, JSON both ways. Each noun declares its routes, with what they show, in a file
 * of its own; control serves this table, and a client calls the routes of the nouns that it knows.
 */
export const api = {
  ...statusRoutes,
  ...serverRoutes,
  ...requestRoutes,
  ...eventRoutes,
  ...auditRoutes,
  ...jobRoutes,
  ...settingRoutes,
  ...governorRoutes,
  ...personRoutes,
  ...policyRoutes,
  ...clusterRoutes,
  ...websiteRoutes,
  ...domainRoutes,
  ...keyRoutes,
  ...deploymentRoutes,
  ...logRoutes,
} as const;
