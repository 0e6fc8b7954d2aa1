import type { ClusterId, ServerName, WebsiteId } from "#contract/names.ts";
import { builderOf } from "../plan/builder.ts";
import type { Store } from "./schema.ts";
import { addServer, changeServers, setServerState } from "./servers.ts";

interface Site {
  readonly website: WebsiteId;
  readonly cluster: ClusterId;
}

/** The website gets a builder, unless it has one. */
export async function ensureBuilder(
  store: Store,
  subnet: string,
  { website, cluster }: Site,
): Promise<{ readonly name: ServerName; readonly isNew: boolean }> {
  const name = builderOf(website);
  const have = await store.selectFrom("server").select("name").where("name", "=", name).executeTakeFirst();
  if (have !== undefined) return { name, isNew: false };
  await changeServers(store, (transaction) => addServer(transaction, subnet, { name, roles: ["builder"], cluster, hostKey: null }));
  return { name, isNew: true };
}

/** Builders that nothing is built on go; gives whether there were some. */
export async function retireBuilders(store: Store): Promise<boolean> {
  const servers = await store.selectFrom("server").select(["name", "roles"]).where("state", "=", "present").execute();
  const building = await store.selectFrom("deployment").select("website").where("state", "=", "building").execute();
  const needed = new Set(building.map(({ website }) => builderOf(website)));
  const idle = servers.filter(({ name, roles }) => roles.includes("builder") && !needed.has(name)).map(({ name }) => name);
  await setServerState(store, idle, "deleting");
  return idle.length > 0;
}
