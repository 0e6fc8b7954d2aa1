import { z } from "zod";
import { HoldSeconds } from "../boxfile-deploy.ts";
import { Deployment } from "../deployment.ts";
import { Event } from "../events.ts";
import { BranchName, WebsiteId } from "../names.ts";
import { none, route } from "./route.ts";
import { ofWebsite } from "./websites.ts";

export const deploymentRoutes = {
  listDeployments: route({
    method: "GET",
    path: "/v1/deployments",
    summary: "Deployments, newest last",
    params: none,
    input: z.object({ website: WebsiteId.optional(), limit: z.coerce.number().int().min(1).max(1000).default(100) }),
    output: z.array(Deployment),
  }),
  showDeployment: route({
    method: "GET",
    path: "/v1/deployments/{deployment}",
    summary: "One deployment",
    params: z.object({ deployment: z.coerce.number().int().positive() }),
    input: none,
    output: Deployment,
  }),
  deploy: route({
    method: "POST",
    path: "/v1/websites/{website}/deployments",
    summary: "Deploy a commit that the website's repository has already",
    params: ofWebsite,
    /** `holdSeconds`: visitors wait from the switch until the release is right, as if its Boxfile said so. */
    input: z.object({ revision: BranchName, holdSeconds: HoldSeconds.optional() }),
    /** `warnings` are what a push of the commit would have told. */
    output: z.object({ deployment: Deployment, warnings: z.array(z.string()).readonly() }),
  }),
  rollback: route({
    method: "POST",
    path: "/v1/websites/{website}/rollback",
    summary: "Deploy the release that was live before the present one, or an earlier one",
    params: ofWebsite,
    /** The start of a release's commit, at least four digits. */
    input: z.object({
      to: z
        .string()
        .regex(/^[0-9a-f]{4,40}$/, "a release is 4–40 hexadecimal digits of its commit")
        .optional(),
    }),
    output: Deployment,
  }),
  cancelDeployment: route({
    method: "POST",
    path: "/v1/deployments/{deployment}/cancel",
    summary: "Call a deployment off that has not switched yet; nothing changes on any server",
    params: z.object({ deployment: z.coerce.number().int().positive() }),
    input: none,
    output: Deployment,
  }),
  deploymentEvents: route({
    method: "GET",
    path: "/v1/deployments/{deployment}/events",
    summary: "What happened so far in a deployment; `after` skips that many",
    params: z.object({ deployment: z.coerce.number().int().positive() }),
    input: z.object({ after: z.coerce.number().int().min(0).default(0) }),
    output: z.object({ events: z.array(Event), isFinal: z.boolean() }),
  }),
} as const;
