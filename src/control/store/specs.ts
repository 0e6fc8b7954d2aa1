import type { ServerName } from "#contract/names.ts";
import type { ServerPlan, ServerSpec } from "#contract/spec/server.ts";
import type { Store } from "./schema.ts";

/** The generation that each server should reach. */
export async function listGenerations(store: Store): Promise<Map<ServerName, number>> {
  const rows = await store.selectFrom("spec").select(["server", "generation"]).execute();
  return new Map(rows.map((row) => [row.server, row.generation]));
}

/** Stores a plan that differs from the one before as the server's next generation; null when it is the same. */
export async function storePlan(store: Store, plan: ServerPlan, hash: string): Promise<ServerSpec | null> {
  return store.transaction().execute(async (transaction) => {
    const before = await transaction
      .selectFrom("spec")
      .select(["generation", "hash"])
      .where("server", "=", plan.server)
      .forUpdate()
      .executeTakeFirst();
    if (before?.hash === hash) return null;
    const generation = (before?.generation ?? 0) + 1;
    const row = { generation, hash, body: JSON.stringify(plan) };
    await transaction
      .insertInto("spec")
      .values({ server: plan.server, ...row })
      .onConflict((conflict) => conflict.column("server").doUpdateSet(row))
      .execute();
    return { ...plan, generation };
  });
}

/** Every spec as it should stand on the bus. */
export async function listSpecs(store: Store): Promise<ServerSpec[]> {
  const rows = await store.selectFrom("spec").select(["generation", "body"]).execute();
  return rows.map((row) => ({ ...row.body, generation: row.generation }));
}
