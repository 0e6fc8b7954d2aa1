import type { ClusterId } from "#contract/names.ts";
import type { WebsiteOnServer } from "#contract/spec/website.ts";
import { type SitePaths, sitePaths } from "../paths.ts";

/** What snippets and environment say of a website. */
export interface WebsiteFacts {
  readonly website: WebsiteOnServer;
  readonly cluster: ClusterId;
  readonly paths: SitePaths;
}

export function websiteFacts(website: WebsiteOnServer, cluster: ClusterId): WebsiteFacts {
  return { website, cluster, paths: sitePaths(website.id) };
}

/** Where every program of a server finds the yard's certificate authority, to verify the database server. */
export const CA_FILE = "/etc/boxyard/ca.pem";

/** The directory within a website's config that has what MariaDB's programs read. */
export const MARIADB = "mariadb";

/** The website's canonical domain; a website without one answers to its id. */
export function mainDomain({ id, domains }: Pick<WebsiteOnServer, "id" | "domains">): string {
  return domains.find((domain) => domain.kind === "main")?.name ?? domains[0]?.name ?? id;
}

/** Domains under which the website's pages are served, the main one first. */
export function servedDomains(website: Pick<WebsiteOnServer, "id" | "domains">): string[] {
  const main = mainDomain(website);
  const aliases = website.domains.filter((domain) => domain.kind === "alias").map((domain) => domain.name);
  return [main, ...aliases.filter((name) => name !== main)];
}

/** The cluster's memcached servers as host:port. */
export function memcachedServers({ memcached }: Pick<WebsiteOnServer, "memcached">): string[] {
  return memcached.map(({ host, port }) => `${host}:${port}`);
}
