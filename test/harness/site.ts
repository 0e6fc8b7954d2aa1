import { Repository } from "./repository.ts";
import { boxyard, boxyardJson, type WebsiteJson } from "./yard.ts";

/** A website, and a working copy that may push to it. */
export interface Site {
  readonly website: WebsiteJson;
  readonly repository: Repository;
}

export async function createSite(domain: string, cluster = "c1"): Promise<Site> {
  const website = await boxyardJson<WebsiteJson>("website", "create", "--cluster", cluster, "--domain", domain);
  const repository = await Repository.create();
  await repository.mayPushTo(website.id);
  return { website, repository };
}

export async function removeSite({ website, repository }: Site): Promise<void> {
  await repository.remove();
  await boxyard("website", "delete", website.id);
}

/** Commits a page that says its version and is not cached, with whatever else is given; gives the commit. */
export async function commitPage(repository: Repository, version: string, files: Readonly<Record<string, string>> = {}): Promise<string> {
  await repository.write({ "docroot/index.php": `<?php header('Cache-Control: no-store'); echo '${version}';`, ...files });
  return repository.commit(version);
}
