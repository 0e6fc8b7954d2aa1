import { z } from "zod";
import { DomainKind, DomainName } from "../domain.ts";
import { none, route } from "./route.ts";
import { ofWebsite, Website } from "./websites.ts";

export const domainRoutes = {
  addDomain: route({
    method: "POST",
    path: "/v1/websites/{website}/domains",
    summary: "Add a domain",
    params: ofWebsite,
    input: z.object({ name: DomainName, kind: DomainKind.default("alias") }),
    output: Website,
  }),
  removeDomain: route({
    method: "DELETE",
    path: "/v1/websites/{website}/domains/{domain}",
    summary: "Remove a domain",
    params: ofWebsite.extend({ domain: DomainName }),
    input: none,
    output: Website,
  }),
} as const;
