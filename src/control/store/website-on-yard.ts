import type { ClusterId, CommitId, Role, ServerName, WebsiteId } from "#contract/names.ts";
import type { Store } from "./schema.ts";

/** A server that carries a website's releases. */
export interface Carrier {
  readonly name: ServerName;
  readonly role: Extract<Role, "box" | "shell">;
}

/** A website as a deployment sees it: where it runs and what it serves. */
export interface WebsiteOnYard {
  readonly id: WebsiteId;
  readonly cluster: ClusterId;
  readonly release: CommitId | null;
  /** The main domain; null when it has none. */
  readonly domain: string | null;
  readonly carriers: readonly Carrier[];
  readonly caches: readonly ServerName[];
}

/** The website with the servers of its cluster that are there to stay; null when the yard has no such website. */
export async function findWebsiteOnYard(store: Store, id: WebsiteId): Promise<WebsiteOnYard | null> {
  const rows = await store
    .selectFrom("website")
    .leftJoin("domain", (join) => join.onRef("domain.website", "=", "website.id").on("domain.kind", "=", "main"))
    .leftJoin("server", (join) => join.onRef("server.cluster", "=", "website.cluster").on("server.state", "=", "present"))
    .select(["website.cluster", "website.release", "domain.name as domain", "server.name as server", "server.roles"])
    .where("website.id", "=", id)
    .orderBy("server.name")
    .execute();
  const [first] = rows;
  if (first === undefined) return null;
  const servers = rows.flatMap(({ server, roles }) => (server === null || roles === null ? [] : [{ name: server, roles }]));
  const { cluster, release, domain } = first;
  const caches = servers.filter((server) => server.roles.includes("cache")).map((server) => server.name);
  return { id, cluster, release, domain, carriers: servers.flatMap(carriersOf), caches };
}

function carriersOf({ name, roles }: { name: ServerName; roles: readonly Role[] }): Carrier[] {
  if (roles.includes("box")) return [{ name, role: "box" }];
  return roles.includes("shell") ? [{ name, role: "shell" }] : [];
}
