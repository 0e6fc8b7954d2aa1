import { NO_SOURCES, PackageSources, USUAL_LIMITS, WorkLimits } from "#contract/work-settings.ts";
import type { Store } from "./schema.ts";

export interface Settings {
  readonly limits: WorkLimits;
  readonly packages: PackageSources;
}

/** What operators have decided, and what holds where they have not. */
export async function readSettings(store: Store): Promise<Settings> {
  const rows = new Map((await store.selectFrom("setting").selectAll().execute()).map(({ name, value }) => [name, value]));
  return {
    limits: WorkLimits.parse({ ...USUAL_LIMITS, ...rows.get("limits") }),
    packages: PackageSources.parse({ ...NO_SOURCES, ...rows.get("packages") }),
  };
}

/** Changes some of a setting's values; gives all of them. */
export async function changeSetting<N extends keyof Settings>(store: Store, name: N, change: Partial<Settings[N]>): Promise<Settings[N]> {
  return store.transaction().execute(async (transaction) => {
    await transaction
      .insertInto("setting")
      .values({ name, value: "{}" })
      .onConflict((conflict) => conflict.doNothing())
      .execute();
    const { value: before } = await transaction
      .selectFrom("setting")
      .select("value")
      .where("name", "=", name)
      .forUpdate()
      .executeTakeFirstOrThrow();
    const value = JSON.stringify({ ...before, ...change });
    await transaction.updateTable("setting").set({ value }).where("name", "=", name).execute();
    return (await readSettings(transaction))[name];
  });
}
