import { readdir, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { WebsiteId } from "#contract/names.ts";
import type { WorkLimits } from "#contract/work-settings.ts";
import { directory, file } from "../../converge/file.ts";
import { removeTree } from "../../converge/remove-tree.ts";
import type { Resource } from "../../converge/resource.ts";
import { noUser, user } from "../../converge/user.ts";
import { GIT_PATHS, keyFile, repositoryConfiguration } from "./configuration-files.ts";
import { branchRef } from "./git-command.ts";
import type { GitWebsite } from "./push-desk.ts";
import { Repository } from "./repository.ts";

/** Where a website's repository lies. */
function repositoryPath(id: WebsiteId): string {
  return join(GIT_PATHS.repositories, `${id}.git`);
}

/** A website's repository with the rights of its account. */
export function repositoryOf({ id, uid }: Pick<GitWebsite, "id" | "uid">): Repository {
  return new Repository(repositoryPath(id), uid);
}

/** The file with the keys that open the website's account; the account cannot change it. */
export function keys(website: GitWebsite): Resource {
  return file({ path: keysPath(website.id), content: keyFile(website), mode: 0o640, group: website.id });
}

/** A website's account and repository. The configuration is root's: a pusher cannot change what its own pushes go through. */
export function websiteRepository(website: GitWebsite, limits: WorkLimits): Resource[] {
  const { id, uid, branch } = website;
  const path = repositoryPath(id);
  return [
    user({ name: id, uid, home: path, shell: "/bin/sh" }),
    directory({ path, mode: 0o700, owner: id, group: id }),
    initialised(repositoryOf(website)),
    file({ path: `${path}/config`, content: repositoryConfiguration({ branch }, limits), mode: 0o640, group: id }),
    file({ path: `${path}/HEAD`, content: `ref: ${branchRef(branch)}\n`, mode: 0o644, owner: id, group: id }),
    keptRelease(website),
  ];
}

/** Nothing is left of websites that the server does not carry any more. */
export function noOtherRepositories(websites: readonly GitWebsite[]): Resource {
  const findOthers = async (): Promise<WebsiteId[]> => {
    const carried = new Set(websites.map(({ id }) => id));
    const names = await readdir(GIT_PATHS.repositories).catch(() => []);
    const ids = names.flatMap((name) => WebsiteId.safeParse(name.replace(/\.git$/, "")).data ?? []);
    return ids.filter((id) => !carried.has(id));
  };
  return {
    id: "no other repositories",
    mismatch: async () => {
      const others = await findOthers();
      return others.length === 0 ? null : `${others.join(", ")} should not be there`;
    },
    apply: async (signal) => {
      for (const id of await findOthers()) {
        await rm(keysPath(id), { force: true });
        await noUser(id).apply(signal);
        // The repository last: it is what says that there is something left to remove.
        await removeTree(repositoryPath(id));
      }
    },
  };
}

function keysPath(id: WebsiteId): string {
  return join(GIT_PATHS.keys, id);
}

function initialised(repository: Repository): Resource {
  return {
    id: `repository ${repository.path}`,
    mismatch: async () => {
      const parts = await Promise.all(["objects", "refs", "HEAD"].map((name) => stat(join(repository.path, name)).catch(() => null)));
      return parts.every((part) => part !== null) ? null : "is not initialised";
    },
    apply: () => repository.init(),
  };
}

/** The live release has a ref of its own, so that its commit is not pruned when the branch goes elsewhere. */
function keptRelease(website: GitWebsite): Resource {
  const ref = "refs/boxyard/live";
  const repository = repositoryOf(website);
  return {
    id: `live release of ${website.id} in its repository`,
    mismatch: async () => {
      const have = await repository.readRef(ref);
      if (website.release === null || have === website.release) return null;
      // A repository that was made anew does not have it yet; it comes with the next push.
      return (await repository.hasCommit(website.release)) ? "is not kept" : null;
    },
    apply: async () => {
      await repository.moveRef(ref, await repository.readRef(ref), website.release);
    },
  };
}
