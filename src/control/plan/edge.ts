import type { EdgeSpec } from "#contract/spec/edge.ts";
import { compareIds, nameAndAddress, type Yard } from "./yard.ts";

/** Edge routers route every domain of the yard to the caches of its cluster that are not fenced. */
export function planEdge(yard: Yard): EdgeSpec {
  const clusters = [...new Set(yard.servers().flatMap(({ cluster }) => (cluster === null ? [] : [cluster])))];
  const domains = yard.websites().flatMap((website) => website.domains.map((domain) => ({ ...domain, website })));
  domains.sort((a, b) => compareIds(a.name, b.name));
  return {
    clusters: clusters
      .map((id) => ({ id, caches: yard.inRotation("cache", id).map(nameAndAddress) }))
      .filter(({ caches }) => caches.length > 0),
    domains: domains.map(({ name, kind, website }) => ({
      name,
      cluster: website.cluster,
      website: website.id,
      redirectTo: kind === "redirect" ? (website.domains.find((domain) => domain.kind === "main")?.name ?? null) : null,
    })),
    certificates: domains.map(({ name, chain_pem: chainPem, key_pem: keyPem }) => ({ domain: name, chainPem, keyPem })),
    defaultCertificate: yard.rows.defaultCertificate,
  };
}
