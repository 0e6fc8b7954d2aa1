import { sql } from "kysely";
import { Fault } from "#base/fault.ts";
import type { Governor } from "#contract/governor.ts";
import type { Store } from "./schema.ts";

/** Which server does what is governed, for which request. */
export interface LeaseKey {
  readonly governor: string;
  readonly server: string;
  readonly request: string;
}

/** By name, with who holds a lease now. */
export async function listGovernors(store: Store): Promise<Governor[]> {
  const [governors, leases] = await Promise.all([
    store.selectFrom("governor").selectAll().orderBy("name").execute(),
    store.selectFrom("lease").selectAll().where("until", ">", sql<Date>`clock_timestamp()`).orderBy("since").execute(),
  ]);
  return governors.map(({ name, most, actions }) => ({
    name,
    limit: most,
    actions: [...actions],
    holders: leases
      .filter(({ governor }) => governor === name)
      .map(({ server, request, since, until }) => ({ server, request, since: momentOf(since), until: momentOf(until) })),
  }));
}

/** Makes or changes a governor; who holds a lease keeps it. */
export async function putGovernor(store: Store, { name, limit, actions }: Pick<Governor, "name" | "limit" | "actions">): Promise<void> {
  const row = { most: limit, actions: JSON.stringify(actions) };
  await store
    .insertInto("governor")
    .values({ name, ...row })
    .onConflict((conflict) => conflict.column("name").doUpdateSet(row))
    .execute();
}

/** Fault "governor.unknown". */
export async function deleteGovernor(store: Store, name: string): Promise<void> {
  const { numDeletedRows } = await store.deleteFrom("governor").where("name", "=", name).executeTakeFirst();
  if (numDeletedRows === 0n) throw new Fault("governor.unknown", `there is no governor ${name}`, { next: "boxyard governor list" });
}

/** Takes a lease if the governor has room; whether it did. A governor that was removed meanwhile has. */
export async function takeLease(store: Store, lease: LeaseKey & { readonly isJob: boolean; readonly forMs: number }): Promise<boolean> {
  const { governor, server, request, isJob, forMs } = lease;
  return store.transaction().execute(async (transaction) => {
    const found = await transaction.selectFrom("governor").select("most").where("name", "=", governor).forUpdate().executeTakeFirst();
    if (found === undefined) return true;
    await transaction.deleteFrom("lease").where("governor", "=", governor).where("until", "<=", sql<Date>`clock_timestamp()`).execute();
    const { held } = await transaction
      .selectFrom("lease")
      .select((select) => select.fn.countAll<string>().as("held"))
      .where("governor", "=", governor)
      .executeTakeFirstOrThrow();
    if (Number(held) >= found.most) return false;
    await transaction
      .insertInto("lease")
      .values({ governor, server, request, is_job: isJob, until: inMs(forMs) })
      .execute();
    return true;
  });
}

export async function endLease(store: Store, { governor, server, request }: LeaseKey): Promise<void> {
  await store.deleteFrom("lease").where("governor", "=", governor).where("server", "=", server).where("request", "=", request).execute();
}

/** Leases of jobs, which last as long as these. */
export async function listJobLeases(store: Store): Promise<LeaseKey[]> {
  return store.selectFrom("lease").select(["governor", "server", "request"]).where("is_job", "=", true).execute();
}

export async function renewLease(store: Store, { governor, server, request }: LeaseKey, forMs: number): Promise<void> {
  await store
    .updateTable("lease")
    .set({ until: inMs(forMs) })
    .where("governor", "=", governor)
    .where("server", "=", server)
    .where("request", "=", request)
    .execute();
}

function inMs(ms: number) {
  return sql<Date>`clock_timestamp() + make_interval(secs => ${ms / 1000}::double precision)`;
}

function momentOf(date: Date): string {
  return date.toISOString().replace("Z", "000Z");
}
