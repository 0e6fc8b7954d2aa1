import { sql } from "kysely";
import type { ClusterId, CommitId, ServerName, WebsiteId } from "#contract/names.ts";
import type { Store } from "./schema.ts";

/** A server that visitors are not to be sent to, and why. */
export interface NewFence {
  readonly server: ServerName;
  readonly reason: string;
  /** The deployment that goes on without it; null when it was none. */
  readonly deployment: number | null;
}

/** Fences servers; those that are fenced keep their reason, and those that are gone are nobody's concern. Gives who is new. */
export async function addFences(store: Store, fences: readonly NewFence[]): Promise<ServerName[]> {
  if (fences.length === 0) return [];
  const present = await store
    .selectFrom("server")
    .select("name")
    .where(
      "name",
      "in",
      fences.map(({ server }) => server),
    )
    .where("state", "=", "present")
    .execute();
  const names = new Set(present.map(({ name }) => name));
  const rows = fences.filter(({ server }) => names.has(server));
  if (rows.length === 0) return [];
  const added = await store
    .insertInto("fence")
    .values(rows)
    .onConflict((conflict) => conflict.column("server").doNothing())
    .returning("server")
    .execute();
  return added.map(({ server }) => server);
}

/** What a server must have before visitors are sent to it again: the release of each website of its cluster. */
export type Releases = ReadonlyMap<WebsiteId, CommitId | null>;

/**
 * Takes a server's fence away if `isRight` says so of the releases that its cluster serves. No deployment of the cluster can
 * begin to switch meanwhile; "busy" when one is between its switch and its end, or goes on without this server.
 */
export async function removeFence(
  store: Store,
  { server, cluster }: { readonly server: ServerName; readonly cluster: ClusterId },
  isRight: (releases: Releases) => Promise<boolean>,
): Promise<"removed" | "busy" | "not-right"> {
  return store.transaction().execute(async (transaction) => {
    const websites = await transaction
      .selectFrom("website")
      .select(["id", "release"])
      .where("cluster", "=", cluster)
      .orderBy("id")
      .forUpdate()
      .execute();
    const goesOnWithoutIt = transaction
      .selectFrom("deployment_server")
      .select("deployment")
      .where("server", "=", server)
      .where("is_left_out", "=", true);
    const inTheWay = await transaction
      .selectFrom("deployment")
      .select("id")
      .where("cluster", "=", cluster)
      .where("finished_at", "is", null)
      .where((is) => is.or([is("state", "in", ["switching", "verifying", "updating"]), is("id", "in", goesOnWithoutIt)]))
      .executeTakeFirst();
    if (inTheWay !== undefined) return "busy";
    if (!(await isRight(new Map(websites.map(({ id, release }) => [id, release]))))) return "not-right";
    await transaction.deleteFrom("fence").where("server", "=", server).execute();
    return "removed";
  });
}

/**
 * The boxes of a deployment's cluster that visitors are sent to and that have no part in it. To be asked in the
 * transaction that lets it switch: from then to its end no fence of the cluster is taken away.
 */
export async function findAbsentBoxes(transaction: Store, deployment: number): Promise<ServerName[]> {
  const site = await transaction
    .selectFrom("website")
    .innerJoin("deployment", "deployment.website", "website.id")
    .select("website.cluster")
    .where("deployment.id", "=", deployment)
    .forUpdate("website")
    .executeTakeFirst();
  if (site === undefined) return [];
  const participants = transaction
    .selectFrom("deployment_server")
    .select("server")
    .where("deployment", "=", deployment)
    .where("is_left_out", "=", false);
  const rows = await transaction
    .selectFrom("server")
    .leftJoin("fence", "fence.server", "server.name")
    .select("server.name")
    .where("server.cluster", "=", site.cluster)
    .where("server.state", "=", "present")
    .where("fence.server", "is", null)
    .where(sql<boolean>`server.roles @> '["box"]'`)
    .where("server.name", "not in", participants)
    .orderBy("server.name")
    .execute();
  return rows.map(({ name }) => name);
}
