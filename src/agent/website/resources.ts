import { readdir } from "node:fs/promises";
import { WebsiteId } from "#contract/names.ts";
import type { WebsiteOnServer } from "#contract/spec/website.ts";
import { removeTree } from "../converge/remove-tree.ts";
import type { Resource } from "../converge/resource.ts";
import { noUser } from "../converge/user.ts";
import { SITE_ROOTS, sitePaths } from "./paths.ts";
import { readReleaseFile } from "./releases/release-file.ts";
import { findLeftSeeds } from "./releases/seeds.ts";
import type { WebsiteReleases } from "./releases/website-releases.ts";

/** The website serves the release that it should: a server that was away, or is new, gets there this way. */
export function liveRelease(website: WebsiteOnServer, releases: WebsiteReleases): Resource {
  return {
    id: `release of ${website.id}`,
    mismatch: () => releaseMismatch(website, releases),
    apply: (signal) => releases.converge(website, signal),
  };
}

/** No releases but those that are kept. */
export function fewReleases(website: WebsiteOnServer, releases: WebsiteReleases): Resource {
  return {
    id: `old releases of ${website.id}`,
    mismatch: async () => {
      const surplus = await releases.surplus(website);
      return surplus.length === 0 ? null : `${surplus.length} more than are kept`;
    },
    apply: (signal) => releases.removeSurplus(website, signal),
  };
}

/** A copy of the live release, for the next one to be made from. */
export function spareRelease({ id }: WebsiteOnServer, releases: WebsiteReleases): Resource {
  return {
    id: `spare release of ${id}`,
    mismatch: async () => ((await releases.hasSpare(id)) ? null : "the live release has no copy yet"),
    apply: (signal) => releases.makeSpare(id, signal),
  };
}

/** Nothing is left of shared folders that an agent had begun to fill when it was killed. */
export function noLeftSeeds({ id }: Pick<WebsiteOnServer, "id">, files = sitePaths(id).files): Resource {
  return {
    id: `begun shared folders of ${id}`,
    mismatch: async () => {
      const left = await findLeftSeeds(files);
      return left.length === 0 ? null : `${left.join(", ")} should not be there`;
    },
    apply: async () => {
      for (const seed of await findLeftSeeds(files)) await removeTree(seed);
    },
  };
}

/** Nothing is left of websites that the server does not carry any more. */
export function noOtherWebsites(websites: readonly WebsiteOnServer[], alsoRemove: (id: WebsiteId) => readonly string[]): Resource {
  const findOthers = async (): Promise<WebsiteId[]> => {
    const carried = new Set(websites.map((website) => website.id));
    const names = await readdir(SITE_ROOTS.sites).catch(() => []);
    return names.filter((name) => WebsiteId.safeParse(name).success && !carried.has(name));
  };
  return {
    id: "no other websites",
    mismatch: async () => {
      const others = await findOthers();
      return others.length === 0 ? null : `${others.join(", ")} should not be there`;
    },
    apply: async (signal) => {
      for (const id of await findOthers()) {
        await noUser(id).apply(signal);
        // The site's directory last: it is what says that there is something left to remove. Its code may still run on another
        // server of the cluster, and change shared files meanwhile.
        for (const path of [...alsoRemove(id), sitePaths(id).site]) await removeTree(path);
      }
    },
  };
}

async function releaseMismatch(website: WebsiteOnServer, releases: WebsiteReleases): Promise<string | null> {
  const expected = releases.expected(website);
  const live = releases.live(website.id);
  if (live !== expected) return `${live ?? "no release"} is live, not ${expected ?? "none"}`;
  if (expected === null) return null;
  const staged = await readReleaseFile(releases.paths(website.id).release(expected));
  if (staged === null) return `release ${expected} is not whole`;
  return staged.environment === website.environment ? null : `release ${expected} was staged for ${staged.environment}`;
}
