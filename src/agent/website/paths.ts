import type { CommitId, WebsiteId } from "#contract/names.ts";

/** Where websites lie on a server; tests put them elsewhere. */
export interface SiteRoots {
  readonly sites: string;
  readonly files: string;
}

export const SITE_ROOTS: SiteRoots = { sites: "/srv/sites", files: "/srv/files" };

/** The places of one website on a server. */
export interface SitePaths {
  /** root:<website>, mode 0750: the one door that keeps other websites out. */
  readonly site: string;
  readonly repository: string;
  readonly releases: string;
  /** The link whose rename is the switch. */
  readonly current: string;
  /** The release that was live before; kept for going back. */
  readonly previous: string;
  readonly config: string;
  readonly temporary: string;
  /** Shared by all servers of the cluster. */
  readonly files: string;
  release(commit: CommitId): string;
}

/** The places of a website below the roots. */
export function sitePaths(id: WebsiteId, roots: SiteRoots = SITE_ROOTS): SitePaths {
  const site = `${roots.sites}/${id}`;
  return {
    site,
    repository: `${site}/repo.git`,
    releases: `${site}/releases`,
    current: `${site}/current`,
    previous: `${site}/previous`,
    config: `${site}/config`,
    temporary: `${site}/tmp`,
    files: `${roots.files}/${id}`,
    release: (commit) => `${site}/releases/${commit}`,
  };
}

/** Where a website's logs lie on a box. */
export function logDirectory(id: WebsiteId): string {
  return `/var/log/boxyard/${id}`;
}
