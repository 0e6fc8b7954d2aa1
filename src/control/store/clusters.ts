import { Fault } from "#base/fault.ts";
import type { ClusterId } from "#contract/names.ts";
import { nextNumber } from "./open.ts";
import type { Store } from "./schema.ts";

/** All clusters in the order of their numbers; those that are being deleted are left out. */
export async function listClusterIds(store: Store): Promise<ClusterId[]> {
  const rows = await store.selectFrom("cluster").select("id").where("is_deleting", "=", false).execute();
  return rows.map((row) => row.id).sort((a, b) => Number(a.slice(1)) - Number(b.slice(1)));
}

/** Does nothing for a cluster that is there; Fault "cluster.unknown" otherwise. */
export async function requireCluster(store: Store, id: ClusterId): Promise<void> {
  const found = await store.selectFrom("cluster").select("id").where("id", "=", id).where("is_deleting", "=", false).executeTakeFirst();
  if (found === undefined)
    throw new Fault("cluster.unknown", `there is no cluster ${id}`, { next: "see which there are: boxyard cluster list" });
}

/** Adds a cluster without servers; gives its id. */
export async function insertCluster(store: Store, minBoxes: number | null = null): Promise<ClusterId> {
  const id = `c${await nextNumber(store, "cluster_number")}`;
  await store.insertInto("cluster").values({ id, min_boxes: minBoxes }).execute();
  return id;
}

/** Fewest boxes with which a deployment goes on without the others; null: half of them. */
export async function readMinBoxes(store: Store, id: ClusterId): Promise<number | null> {
  const row = await store.selectFrom("cluster").select("min_boxes").where("id", "=", id).executeTakeFirst();
  return row?.min_boxes ?? null;
}

export async function setMinBoxes(store: Store, id: ClusterId, minBoxes: number | null): Promise<void> {
  await store.updateTable("cluster").set({ min_boxes: minBoxes }).where("id", "=", id).execute();
}

/** Marks a cluster and its servers for deletion; Fault "cluster.has-websites" while it carries some. */
export async function markClusterDeleted(store: Store, id: ClusterId): Promise<void> {
  await store.transaction().execute(async (transaction) => {
    const websites = await transaction.selectFrom("website").select("id").where("cluster", "=", id).execute();
    if (websites.length > 0) {
      const names = websites.map((website) => website.id).join(", ");
      throw new Fault("cluster.has-websites", `cluster ${id} still carries ${names}`, {
        next: `delete them first: boxyard website delete ${websites[0]?.id}`,
      });
    }
    await transaction.updateTable("cluster").set({ is_deleting: true }).where("id", "=", id).execute();
    await transaction.updateTable("server").set({ state: "deleting" }).where("cluster", "=", id).execute();
  });
}

/** Clusters that are being deleted and have no server any more. */
export async function listEmptiedClusters(store: Store): Promise<ClusterId[]> {
  const servers = store.selectFrom("server").select("cluster").where("cluster", "is not", null).$castTo<{ cluster: ClusterId }>();
  const rows = await store.selectFrom("cluster").select("id").where("is_deleting", "=", true).where("id", "not in", servers).execute();
  return rows.map((row) => row.id);
}

export async function removeClusterRow(store: Store, id: ClusterId): Promise<void> {
  await store.deleteFrom("cluster").where("id", "=", id).execute();
}
