import { z } from "zod";
import { Domain, DomainName } from "../domain.ts";
import { BranchName, ClusterId, CommitId, EnvironmentLabel, Role, ServerName, WebsiteId } from "../names.ts";
import { none, route } from "./route.ts";

export const Website = z.object({
  id: WebsiteId,
  cluster: ClusterId,
  environment: EnvironmentLabel,
  branch: BranchName,
  domains: z.array(Domain),
  gitUrl: z.string(),
  sshUrl: z.string(),
  release: CommitId.nullable(),
  servers: z.array(z.object({ name: ServerName, role: Role, release: CommitId.nullable() })),
  /** Whether every server of it is converged to the website as it stands. */
  isReady: z.boolean(),
  /** What is wrong with it or with servers that it needs, a line each. */
  troubles: z.array(z.string()).default([]),
});
export type Website = z.infer<typeof Website>;

/** The parameters of a route under a website. */
export const ofWebsite = z.object({ website: WebsiteId });

export const websiteRoutes = {
  createWebsite: route({
    method: "POST",
    path: "/v1/websites",
    summary: "Create a website on a cluster",
    params: none,
    input: z.object({
      cluster: ClusterId,
      domain: DomainName,
      environment: EnvironmentLabel.default("production"),
      branch: BranchName.default("main"),
    }),
    output: Website,
  }),
  listWebsites: route({
    method: "GET",
    path: "/v1/websites",
    summary: "All websites",
    params: none,
    input: none,
    output: z.array(Website),
  }),
  showWebsite: route({
    method: "GET",
    path: "/v1/websites/{website}",
    summary: "One website",
    params: ofWebsite,
    input: none,
    output: Website,
  }),
  deleteWebsite: route({
    method: "DELETE",
    path: "/v1/websites/{website}",
    summary: "Delete a website with its releases, database, files and repository",
    params: ofWebsite,
    input: none,
    output: z.object({ id: WebsiteId }),
  }),
} as const;
