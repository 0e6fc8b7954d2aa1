import { PackageSources, WorkLimits } from "../work-settings.ts";
import { none, route } from "./route.ts";

export const settingRoutes = {
  showLimits: route({
    method: "GET",
    path: "/v1/limits",
    summary: "What builds, hooks and releases may take",
    params: none,
    input: none,
    output: WorkLimits,
  }),
  setLimits: route({
    method: "PATCH",
    path: "/v1/limits",
    summary: "Change what builds, hooks and releases may take, for those that begin from now on",
    params: none,
    input: WorkLimits.partial(),
    output: WorkLimits,
  }),
  showPackageSources: route({
    method: "GET",
    path: "/v1/package-sources",
    summary: "How builds reach the places that packages come from",
    params: none,
    input: none,
    output: PackageSources,
  }),
  setPackageSources: route({
    method: "PATCH",
    path: "/v1/package-sources",
    summary: "Change how builds reach the places that packages come from",
    params: none,
    input: PackageSources.partial(),
    output: PackageSources,
  }),
} as const;
