import type { WebsiteOnServer } from "#contract/spec/website.ts";
import { directory } from "../converge/file.ts";
import type { Resource } from "../converge/resource.ts";
import { user } from "../converge/user.ts";
import { filesMount } from "./files-mount.ts";
import { SITE_ROOTS, sitePaths } from "./paths.ts";

/** What all websites of a server lie in; who is inside cannot list it. */
export function sharedDirectories(): Resource[] {
  return [
    ...filesMount(),
    directory({ path: "/etc/boxyard", mode: 0o755 }),
    directory({ path: SITE_ROOTS.sites, mode: 0o711 }),
    directory({ path: SITE_ROOTS.files, mode: 0o711 }),
  ];
}

/**
 * A website's account and its directories: the code is root's, only home, temporary and shared files are its own. What it
 * does to the permissions of its own ones is its own fault, not the server's.
 */
export function websiteAccount({ id, uid }: Pick<WebsiteOnServer, "id" | "uid">, shell: string): Resource[] {
  const paths = sitePaths(id);
  const own = { owner: id, group: id, website: id };
  return [
    user({ name: id, uid, home: `${paths.site}/home`, shell }),
    directory({ path: paths.site, mode: 0o750, group: id }),
    directory({ path: paths.releases }),
    directory({ path: paths.config, mode: 0o750, group: id }),
    directory({ path: paths.temporary, mode: 0o700, ...own }),
    directory({ path: `${paths.site}/home`, mode: 0o700, ...own }),
    directory({ path: paths.files, mode: 0o750, group: id }),
    directory({ path: sessionDirectory(id), mode: 0o700, ...own }),
  ];
}

/** PHP's sessions, shared by the boxes: a visitor's requests go to all of them. */
export function sessionDirectory(id: WebsiteOnServer["id"]): string {
  return `${sitePaths(id).files}/.sessions`;
}
