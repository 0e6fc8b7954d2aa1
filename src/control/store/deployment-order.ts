import type { Clock } from "#base/clock.ts";
import type { WebsiteId } from "#contract/names.ts";
import type { Store } from "./schema.ts";

/**
 * A website's deployments are ordered by their moments, and no clock that is wrong may give one a place after those to
 * come: none lies in the future, and when one does, because this clock was set back, what comes now comes after it.
 */
export async function momentOfPush(
  store: Store,
  website: WebsiteId,
  { acceptedAtMicros, clock }: { readonly acceptedAtMicros: number; readonly clock: Clock },
): Promise<number> {
  const [newest, now] = [await newestMoment(store, website), clock.nowMicros()];
  return newest > now ? newest + 1 : Math.min(acceptedAtMicros, now);
}

/** The moment of what somebody asks for now: after all that is known. */
export async function momentOfOrder(store: Store, website: WebsiteId, clock: Clock): Promise<number> {
  return Math.max(clock.nowMicros(), (await newestMoment(store, website)) + 1);
}

async function newestMoment(store: Store, website: WebsiteId): Promise<number> {
  const newest = store.selectFrom("deployment").where("website", "=", website);
  const row = await newest.select((read) => read.fn.max("accepted_at").as("at")).executeTakeFirst();
  return Number(row?.at ?? 0);
}
