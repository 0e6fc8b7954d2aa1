import type { ClusterId, CommitId, Role, ServerName, WebsiteId } from "#contract/names.ts";
import type { Store } from "./schema.ts";

/** A server that carries a website's releases. */
export interface Carrier {
  readonly name: ServerName;
  readonly role: Extract<Role, "box" | "shell">;
  /** Why visitors are not sent to it; null when they are. */
  readonly fence: string | null;
}

/** A website as a deployment sees it: where it runs and what it serves. */
export interface WebsiteOnYard {
  readonly id: WebsiteId;
  readonly cluster: ClusterId;
  readonly release: CommitId | null;
  /** The main domain; null when it has none. */
  readonly domain: string | null;
  /** All of them, the main one too. */
  readonly domains: readonly string[];
  readonly databases: readonly string[];
  readonly carriers: readonly Carrier[];
  /** Those that visitors are sent to. */
  readonly caches: readonly ServerName[];
  /** With fewer boxes than these a deployment does not go on without the others. */
  readonly minBoxes: number;
}

/** The website with the servers of its cluster that are there to stay; null when the yard has no such website. */
export async function findWebsiteOnYard(store: Store, id: WebsiteId): Promise<WebsiteOnYard | null> {
  const [domains, databases] = await Promise.all([
    store.selectFrom("domain").select("name").where("website", "=", id).orderBy("name").execute(),
    store.selectFrom("database").select("name").where("website", "=", id).orderBy("name").execute(),
  ]);
  const rows = await store
    .selectFrom("website")
    .innerJoin("cluster", "cluster.id", "website.cluster")
    .leftJoin("domain", (join) => join.onRef("domain.website", "=", "website.id").on("domain.kind", "=", "main"))
    .leftJoin("server", (join) => join.onRef("server.cluster", "=", "website.cluster").on("server.state", "=", "present"))
    .leftJoin("fence", "fence.server", "server.name")
    .select(["website.cluster", "website.release", "cluster.min_boxes", "domain.name as domain"])
    .select(["server.name as server", "server.roles", "fence.reason as fence"])
    .where("website.id", "=", id)
    .orderBy("server.name")
    .execute();
  const [first] = rows;
  if (first === undefined) return null;
  const servers = rows.flatMap(({ server, roles, fence }) => (server === null || roles === null ? [] : [{ name: server, roles, fence }]));
  const { cluster, release, domain, min_boxes } = first;
  const caches = servers.filter((server) => server.roles.includes("cache") && server.fence === null).map((server) => server.name);
  const carriers = servers.flatMap(carriersOf);
  const boxes = carriers.filter((carrier) => carrier.role === "box").length;
  const minBoxes = Math.min(min_boxes ?? Math.ceil(boxes / 2), boxes);
  const namesOf = (named: readonly { readonly name: string }[]): string[] => named.map(({ name }) => name);
  return { id, cluster, release, domain, domains: namesOf(domains), databases: namesOf(databases), carriers, caches, minBoxes };
}

function carriersOf({ name, roles, fence }: { name: ServerName; roles: readonly Role[]; fence: string | null }): Carrier[] {
  if (roles.includes("box")) return [{ name, role: "box", fence }];
  return roles.includes("shell") ? [{ name, role: "shell", fence }] : [];
}
