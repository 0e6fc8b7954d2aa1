import { sql } from "kysely";
import { Fault } from "#base/fault.ts";
import type { Enrolment } from "#contract/enrolment.ts";
import type { ClusterId, Role, ServerName } from "#contract/names.ts";
import type { ServerRowState, Store } from "./schema.ts";

/** A server of the yard as the rows have it. */
export interface ServerRow {
  readonly name: ServerName;
  readonly roles: readonly Role[];
  readonly cluster: ClusterId | null;
  readonly address: string;
  readonly state: ServerRowState;
  readonly enrolment: Enrolment | null;
  readonly host_key: { readonly privateKey: string; readonly publicKey: string } | null;
  /** When it was heard of for the first time; null before. */
  readonly joined_at: Date | null;
  /** Why visitors are not sent to it; null when they are. */
  readonly fence: string | null;
}

export interface NewServer {
  readonly name: ServerName;
  readonly roles: readonly Role[];
  readonly cluster: ClusterId | null;
  readonly hostKey: ServerRow["host_key"];
}

/** The first address that a server may get by itself; those below are for the gateway, control and later needs. */
const FIRST_HOST = 10;
const LAST_HOST = 250;

/** All servers, by name. */
export async function listServerRows(store: Store): Promise<ServerRow[]> {
  return serversWithFence(store).orderBy("server.name").execute();
}

/** Fault "server.unknown". */
export async function requireServer(store: Store, name: ServerName): Promise<ServerRow> {
  const found = await serversWithFence(store).where("server.name", "=", name).executeTakeFirst();
  if (found !== undefined) return found;
  throw new Fault("server.unknown", `there is no server ${name}`, { next: "see which there are: boxyard server list" });
}

function serversWithFence(store: Store) {
  return store.selectFrom("server").leftJoin("fence", "fence.server", "server.name").selectAll("server").select("fence.reason as fence");
}

/** Changes of which servers there are: one after the other, each whole or not at all. */
export function changeServers<T>(store: Store, change: (store: Store) => Promise<T>): Promise<T> {
  return store.transaction().execute(async (transaction) => {
    await sql`select pg_advisory_xact_lock(hashtext('servers'))`.execute(transaction);
    return change(transaction);
  });
}

/** Adds a server with the lowest free address of the subnet, or the given one; a server that is there stays as it is. */
export async function addServer(store: Store, subnet: string, server: NewServer, address?: string): Promise<void> {
  const taken = new Set((await store.selectFrom("server").select("address").execute()).map((row) => row.address));
  await store
    .insertInto("server")
    .values({
      name: server.name,
      roles: JSON.stringify(server.roles),
      cluster: server.cluster,
      address: address ?? freeAddress(subnet, taken),
      host_key: server.hostKey === null ? null : JSON.stringify(server.hostKey),
      enrolment: null,
    } as never)
    .onConflict((conflict) => conflict.column("name").doNothing())
    .execute();
}

export async function setServerRoles(store: Store, name: ServerName, roles: readonly Role[]): Promise<void> {
  await store
    .updateTable("server")
    .set({ roles: JSON.stringify(roles) })
    .where("name", "=", name)
    .execute();
}

/** Keeps a server's enrolment. */
export async function setEnrolment(store: Store, name: ServerName, enrolment: Enrolment): Promise<void> {
  await store
    .updateTable("server")
    .set({ enrolment: JSON.stringify(enrolment) })
    .where("name", "=", name)
    .execute();
}

/** Remembers of servers that they have been heard of. */
export async function markJoined(store: Store, names: readonly ServerName[]): Promise<void> {
  if (names.length === 0) return;
  await store.updateTable("server").set({ joined_at: new Date() }).where("name", "in", names).where("joined_at", "is", null).execute();
}

export async function setServerState(store: Store, names: readonly ServerName[], state: ServerRowState): Promise<void> {
  if (names.length > 0) await store.updateTable("server").set({ state }).where("name", "in", names).execute();
}

export async function removeServerRow(store: Store, name: ServerName): Promise<void> {
  await store.deleteFrom("server").where("name", "=", name).execute();
}

/** The first control server: the machine that carries the yard makes and enrols it, since nobody else is there yet. */
export function isMadeByHost({ roles }: Pick<ServerRow, "roles">): boolean {
  return roles.includes("control") && !roles.includes("broker");
}

function freeAddress(subnet: string, taken: ReadonlySet<string>): string {
  const prefix = subnet.replace(/\d+\/\d+$/, "");
  for (let host = FIRST_HOST; host <= LAST_HOST; host++) if (!taken.has(`${prefix}${host}`)) return `${prefix}${host}`;
  throw new Fault("yard.no-address", `every address of ${subnet} is in use`, {
    next: "delete servers that are not needed, or start another yard",
  });
}
