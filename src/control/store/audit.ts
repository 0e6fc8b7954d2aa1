import type { AuditEntry } from "#contract/audit.ts";
import type { Store } from "./schema.ts";

/** Adds an entry; it cannot be changed or removed afterwards. */
export async function appendAudit(store: Store, { details, ...entry }: Omit<AuditEntry, "number" | "at">): Promise<void> {
  await store
    .insertInto("audit")
    .values({ ...entry, details: JSON.stringify(details) })
    .execute();
}

/** The newest entries, oldest first. */
export async function listAudit(store: Store, last: number): Promise<AuditEntry[]> {
  const rows = await store.selectFrom("audit").selectAll().orderBy("number", "desc").limit(last).execute();
  return rows
    .reverse()
    .map(({ number, at, ...row }) => ({ ...row, number: Number(number), at: at.toISOString().replace("Z", "000Z") }) as AuditEntry);
}
