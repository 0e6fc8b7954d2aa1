import type { ServerName } from "#contract/names.ts";
import { RIGHTS } from "#fabric/identity.ts";
import { publicKeyOf } from "#fabric/native-keys.ts";
import type { Store } from "./schema.ts";

const FIRST_RIGHTS = 1;

/** A server's key counts from now on, with rights of the given form; one that is known stays as it is. */
export async function addBusKey(store: Store, server: ServerName, publicKey: string, rights = RIGHTS): Promise<void> {
  await store
    .insertInto("bus_key")
    .values({ server, public_key: publicKey, rights })
    .onConflict((conflict) => conflict.column("public_key").doNothing())
    .execute();
}

/** Yards that are older than the list of keys: what their servers were enrolled with counts. */
export async function learnBusKeys(store: Store): Promise<void> {
  const servers = await store.selectFrom("server").select(["name", "enrolment"]).where("enrolment", "is not", null).execute();
  for (const { name, enrolment } of servers)
    if (enrolment !== null) await addBusKey(store, name, publicKeyOf(enrolment.credentials.jwt), FIRST_RIGHTS);
}

/** All keys of a server that still count are revoked, but one if told. */
export async function revokeBusKeys(store: Store, server: ServerName, { but }: { readonly but?: string } = {}): Promise<void> {
  let revoke = store.updateTable("bus_key").set({ revoked_at: new Date() }).where("server", "=", server).where("revoked_at", "is", null);
  if (but !== undefined) revoke = revoke.where("public_key", "!=", but);
  await revoke.execute();
}

/** Every revoked key with the moment, for the broker. */
export async function listRevokedKeys(store: Store): Promise<{ publicKey: string; at: Date }[]> {
  const rows = await store.selectFrom("bus_key").select(["public_key", "revoked_at"]).where("revoked_at", "is not", null).execute();
  return rows.flatMap(({ public_key: publicKey, revoked_at: at }) => (at === null ? [] : [{ publicKey, at }]));
}

export interface CurrentKey {
  readonly server: ServerName;
  readonly publicKey: string;
  readonly issuedAt: Date;
  /** Whether it was given other rights than servers are given now. */
  readonly isOutdated: boolean;
}

/** Keys that count, in the order of their issue. */
export async function listCurrentKeys(store: Store): Promise<CurrentKey[]> {
  const rows = await store.selectFrom("bus_key").selectAll().where("revoked_at", "is", null).orderBy("issued_at").execute();
  return rows.map(({ server, public_key: publicKey, issued_at: issuedAt, rights }) => {
    return { server, publicKey, issuedAt, isOutdated: rights !== RIGHTS };
  });
}
