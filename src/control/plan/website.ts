import { type CommitId, numberOf } from "#contract/names.ts";
import type { GitSource, WebsiteOnServer } from "#contract/spec/website.ts";
import type { PlannedWebsite } from "./rows.ts";
import { addressOf, compareIds, PORTS, type Yard } from "./yard.ts";

/** Unix ids of websites start above every id that Debian gives out by itself. */
const FIRST_UID = 20_000;

/** To so many releases a website can go back without fetching them. */
export const KEPT_RELEASES = 5;

/** The Unix user and group id of a website, the same on every server. */
export function uidOf(website: string): number {
  return FIRST_UID + numberOf(website);
}

/** A website as its boxes and shell server carry it. */
export function planWebsite(yard: Yard, website: PlannedWebsite): WebsiteOnServer {
  const [database] = yard.withRole("database");
  const caches = yard.withRole("cache", website.cluster);
  return {
    id: website.id,
    uid: uidOf(website.id),
    environment: website.environment,
    branch: website.branch,
    domains: sortDomains(website),
    databases: [...website.databases]
      .sort((a, b) => compareIds(a.name, b.name))
      .flatMap(({ name, password }) =>
        database === undefined ? [] : [{ name, user: name, password, host: database.address, port: PORTS.mariadb }],
      ),
    memcached: caches.map((cache) => ({ host: cache.address, port: PORTS.memcached })),
    trustedProxies: [...yard.withRole("edge"), ...caches].map(addressOf),
    hashSalt: website.hash_salt,
    processingUnits: website.processing_units,
    release: website.release,
    decision: website.release_decision,
    goodReleases: goodReleases(website),
  };
}

/** The live one is the newest of them already before its deployment has ended, so that its end changes no plan. */
export function goodReleases({ release, good_releases }: PlannedWebsite): CommitId[] {
  const all = release === null ? good_releases : [release, ...good_releases];
  return [...new Set(all)].slice(0, KEPT_RELEASES);
}

/** Where the servers of the yard get releases from; an address that never answers while there is no git server. */
export function planGitSource(yard: Yard): GitSource {
  const [git] = yard.withRole("git");
  return { server: git?.name ?? "git1", address: git?.address ?? "127.0.0.1", port: PORTS.pack };
}

function sortDomains({ domains }: PlannedWebsite): WebsiteOnServer["domains"] {
  const rank = { main: 0, alias: 1, redirect: 2 };
  return domains.map(({ name, kind }) => ({ name, kind })).sort((a, b) => rank[a.kind] - rank[b.kind] || compareIds(a.name, b.name));
}
