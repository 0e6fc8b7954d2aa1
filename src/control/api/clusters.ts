import type { Cluster } from "#contract/api.ts";
import type { ClusterId } from "#contract/names.ts";
import { makeHostKey } from "../host-key.ts";
import { compareIds } from "../plan/yard.ts";
import { insertCluster, listClusterIds, markClusterDeleted, requireCluster } from "../store/clusters.ts";
import { addServer, listServerRows, setServerState } from "../store/servers.ts";
import { listWebsiteRows } from "../store/websites.ts";
import type { ApiContext } from "./context.ts";
import type { Handler } from "./handler.ts";
import { describeServers } from "./servers.ts";

export const createCluster: Handler<"createCluster"> = async (context, { input: { boxes } }) => {
  const { store, config, onRowsChanged } = context;
  const id = await insertCluster(store);
  const add = (suffix: string, role: "cache" | "shell", hostKey: Awaited<ReturnType<typeof makeHostKey>> | null) =>
    addServer(store, config.subnet, { name: `${id}${suffix}`, roles: [role], cluster: id, hostKey });
  await add("v1", "cache", null);
  await add("v2", "cache", null);
  await add("s", "shell", await makeHostKey(`${id}s`));
  await addBoxes(context, id, 1, boxes);
  onRowsChanged();
  return describeCluster(context, id);
};

export const listClusters: Handler<"listClusters"> = async (context) => {
  const ids = await listClusterIds(context.store);
  return Promise.all(ids.map((id) => describeCluster(context, id)));
};

export const showCluster: Handler<"showCluster"> = async (context, { params: { cluster } }) => {
  await requireCluster(context.store, cluster);
  return describeCluster(context, cluster);
};

export const scaleCluster: Handler<"scaleCluster"> = async (context, { params: { cluster }, input: { boxes } }) => {
  const { store, onRowsChanged } = context;
  await requireCluster(store, cluster);
  const ofCluster = (await listServerRows(store)).filter((server) => server.cluster === cluster && server.roles.includes("box"));
  const have = ofCluster.filter((server) => server.state === "present").sort((a, b) => compareIds(a.name, b.name));
  if (have.length < boxes) {
    const highest = Math.max(0, ...ofCluster.map((server) => Number(/b(\d+)$/.exec(server.name)?.[1])));
    const free = freeNumbers(new Set(ofCluster.map((server) => server.name)), cluster, boxes - have.length, highest);
    for (const number of free) await addBoxes(context, cluster, number, number);
  } else {
    await setServerState(
      store,
      have.slice(boxes).map((server) => server.name),
      "leaving",
    );
  }
  onRowsChanged();
  return describeCluster(context, cluster);
};

export const deleteCluster: Handler<"deleteCluster"> = async ({ store, onRowsChanged }, { params: { cluster } }) => {
  await requireCluster(store, cluster);
  await markClusterDeleted(store, cluster);
  onRowsChanged();
  return { id: cluster };
};

async function describeCluster(context: ApiContext, id: ClusterId): Promise<Cluster> {
  const [all, websites] = await Promise.all([describeServers(context), listWebsiteRows(context.store)]);
  const servers = all.filter((server) => server.cluster === id);
  // The edge routes to the cluster and the backends know its servers: without them it does not serve.
  const needed = [...servers, ...all.filter((server) => server.cluster === null)];
  return {
    id,
    boxes: servers.filter((server) => server.roles.includes("box") && server.state !== "deleting").length,
    isReady: needed.every((server) => server.state === "ready"),
    servers,
    websites: websites.filter((website) => website.cluster === id).map((website) => website.id),
  };
}

async function addBoxes({ store, config }: ApiContext, cluster: ClusterId, from: number, to: number): Promise<void> {
  for (let number = from; number <= to; number++)
    await addServer(store, config.subnet, { name: `${cluster}b${number}`, roles: ["box"], cluster, hostKey: null });
}

/** The lowest numbers that no box, not even a leaving one, has. */
function freeNumbers(taken: ReadonlySet<string>, cluster: ClusterId, count: number, highest: number): number[] {
  const candidates = Array.from({ length: highest + count }, (_, index) => index + 1);
  return candidates.filter((number) => !taken.has(`${cluster}b${number}`)).slice(0, count);
}
