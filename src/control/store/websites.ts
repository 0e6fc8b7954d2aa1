import { randomBytes } from "node:crypto";
import { Fault } from "#base/fault.ts";
import type { DomainKind } from "#contract/domain.ts";
import type { ClusterId, CommitId, WebsiteId } from "#contract/names.ts";
import { nextNumber, violates } from "./open.ts";
import type { Store } from "./schema.ts";

interface DomainRow {
  readonly name: string;
  readonly website: WebsiteId;
  readonly kind: DomainKind;
  readonly chain_pem: string;
  readonly key_pem: string;
  readonly expires_at: Date;
}

export interface KeyRow {
  readonly website: WebsiteId;
  readonly fingerprint: string;
  readonly type: string;
  readonly comment: string;
  readonly public_key: string;
}

/** A website with all that belongs to it. */
export interface WebsiteRow {
  readonly id: WebsiteId;
  readonly cluster: ClusterId;
  readonly environment: string;
  readonly branch: string;
  readonly hash_salt: string;
  readonly processing_units: number;
  readonly release: CommitId | null;
  readonly release_decision: number;
  readonly domains: readonly DomainRow[];
  readonly databases: readonly { readonly name: string; readonly website: WebsiteId; readonly password: string }[];
  readonly keys: readonly KeyRow[];
}

export interface Certificate {
  readonly chainPem: string;
  readonly keyPem: string;
  readonly expiresAt: Date;
}

export interface NewDomain {
  readonly name: string;
  readonly kind: DomainKind;
  readonly certificate: Certificate;
}

/** All websites in the order of their numbers, main domain first. */
export async function listWebsiteRows(store: Store): Promise<WebsiteRow[]> {
  const [websites, domains, databases, keys] = await Promise.all([
    store.selectFrom("website").selectAll().execute(),
    store
      .selectFrom("domain")
      .selectAll()
      .orderBy((order) => order.case().when("kind", "=", "main").then(0).else(1).end())
      .orderBy("name")
      .execute(),
    store.selectFrom("database").selectAll().orderBy("name").execute(),
    store.selectFrom("ssh_key").selectAll().orderBy("fingerprint").execute(),
  ]);
  const of = <T extends { website: WebsiteId }>(rows: T[], id: WebsiteId) => rows.filter((row) => row.website === id);
  const whole = websites.map((website) => ({
    ...website,
    domains: of(domains, website.id),
    databases: of(databases, website.id),
    keys: of(keys, website.id),
  }));
  return whole.sort((a, b) => Number(a.id.slice(1)) - Number(b.id.slice(1)));
}

/** The website, or Fault "website.unknown". */
export async function readWebsite(store: Store, id: WebsiteId): Promise<WebsiteRow> {
  const found = (await listWebsiteRows(store)).find((website) => website.id === id);
  if (found !== undefined) return found;
  throw new Fault("website.unknown", `there is no website ${id}`, { next: "see which there are: boxyard website list" });
}

/** Creates a website with its main domain and one database; gives its id. */
export async function createWebsite(
  store: Store,
  website: { cluster: ClusterId; environment: string; branch: string; domain: NewDomain },
): Promise<WebsiteId> {
  const { cluster, environment, branch, domain } = website;
  return store.transaction().execute(async (transaction) => {
    await refuseTakenDomain(transaction, domain.name);
    const id = `s${await nextNumber(transaction, "website_number")}`;
    await transaction
      .insertInto("website")
      .values({ id, cluster, environment, branch, hash_salt: randomBytes(32).toString("hex"), release: null })
      .execute();
    await insertDomain(transaction, id, domain);
    const database = `db${await nextNumber(transaction, "database_number")}`;
    await transaction
      .insertInto("database")
      .values({ name: database, website: id, password: randomBytes(24).toString("hex") })
      .execute();
    return id;
  });
}

/** Removes a website's rows; its servers clean up when they converge. */
export async function deleteWebsite(store: Store, id: WebsiteId): Promise<void> {
  await store.deleteFrom("website").where("id", "=", id).execute();
}

export async function addDomain(store: Store, website: WebsiteId, domain: NewDomain): Promise<void> {
  await store.transaction().execute(async (transaction) => {
    await refuseTakenDomain(transaction, domain.name);
    // A new main domain makes the old one an alias.
    if (domain.kind === "main")
      await transaction.updateTable("domain").set({ kind: "alias" }).where("website", "=", website).where("kind", "=", "main").execute();
    await insertDomain(transaction, website, domain);
  });
}

/** Removes a domain that is not the main one. */
export async function removeDomain(store: Store, website: WebsiteId, name: string): Promise<void> {
  const domain = await store.selectFrom("domain").selectAll().where("website", "=", website).where("name", "=", name).executeTakeFirst();
  if (domain === undefined)
    throw new Fault("domain.unknown", `${website} has no domain ${name}`, { next: `see which it has: boxyard website show ${website}` });
  if (domain.kind === "main") {
    throw new Fault("domain.is-main", `${name} is the main domain of ${website}`, {
      next: `make another the main one first: boxyard domain add ${website} www.example.org --kind main`,
    });
  }
  await store.deleteFrom("domain").where("name", "=", name).execute();
}

/** Domains whose certificate ends before this moment. */
export async function listExpiringDomains(store: Store, before: Date): Promise<string[]> {
  const rows = await store.selectFrom("domain").select("name").where("expires_at", "<", before).orderBy("name").execute();
  return rows.map((row) => row.name);
}

export async function setCertificate(store: Store, name: string, { chainPem, keyPem, expiresAt }: Certificate): Promise<void> {
  await store.updateTable("domain").set({ chain_pem: chainPem, key_pem: keyPem, expires_at: expiresAt }).where("name", "=", name).execute();
}

/** Adds a key; Fault "key.known" when the website has it already. */
export async function addKey(store: Store, key: KeyRow): Promise<void> {
  try {
    await store.insertInto("ssh_key").values(key).execute();
  } catch (cause) {
    if (!violates(cause, "ssh_key_known")) throw cause;
    throw new Fault("key.known", `${key.website} has the key ${key.fingerprint} already`);
  }
}

export async function listKeys(store: Store, website: WebsiteId) {
  return store.selectFrom("ssh_key").selectAll().where("website", "=", website).orderBy("added_at").execute();
}

/** Removes a key and gives it back; Fault "key.unknown" when there is none. */
export async function removeKey(store: Store, website: WebsiteId, fingerprint: string) {
  const removed = await store
    .deleteFrom("ssh_key")
    .where("website", "=", website)
    .where("fingerprint", "=", fingerprint)
    .returningAll()
    .executeTakeFirst();
  if (removed !== undefined) return removed;
  throw new Fault("key.unknown", `${website} has no key ${fingerprint}`, { next: `see which it has: boxyard key list ${website}` });
}

async function insertDomain(store: Store, website: WebsiteId, { name, kind, certificate }: NewDomain): Promise<void> {
  const { chainPem, keyPem, expiresAt } = certificate;
  try {
    await store.insertInto("domain").values({ name, website, kind, chain_pem: chainPem, key_pem: keyPem, expires_at: expiresAt }).execute();
  } catch (thrown) {
    throw violates(thrown, "domain_taken") ? takenDomain(name, "another website") : thrown;
  }
}

async function refuseTakenDomain(store: Store, name: string): Promise<void> {
  const owner = await store.selectFrom("domain").select("website").where("name", "=", name).executeTakeFirst();
  if (owner !== undefined) throw takenDomain(name, `website ${owner.website}`);
}

function takenDomain(name: string, owner: string): Fault {
  return new Fault("domain.taken", `${name} already belongs to ${owner}`, {
    next: "remove it there first (boxyard domain remove), or choose another",
  });
}
