import { z } from "zod";
import { DomainName } from "../domain.ts";
import { Address, ClusterId, ServerName, WebsiteId } from "../names.ts";
import { secret } from "../secret.ts";

/** What an edge router routes. */
export const EdgeSpec = z.object({
  clusters: z.array(z.object({ id: ClusterId, caches: z.array(z.object({ name: ServerName, address: Address })) })),
  /** Each domain once; `redirectTo` is set for redirect domains. */
  domains: z.array(z.object({ name: DomainName, cluster: ClusterId, website: WebsiteId, redirectTo: DomainName.nullable() })),
  /** A certificate for each domain; chain first, then key, both PEM. */
  certificates: z.array(z.object({ domain: DomainName, chainPem: z.string(), keyPem: secret(z.string()) })),
  /** Served when no domain matches the requested server name. */
  defaultCertificate: z.object({ chainPem: z.string(), keyPem: secret(z.string()) }),
});
export type EdgeSpec = z.infer<typeof EdgeSpec>;
