import type { Cluster } from "#contract/api/clusters.ts";
import type { ControlConfig } from "#contract/control-config.ts";
import type { ClusterId } from "#contract/names.ts";
import { makeHostKey } from "../host-key.ts";
import { compareIds } from "../plan/yard.ts";
import { insertCluster, listClusterIds, markClusterDeleted, readMinBoxes, requireCluster, setMinBoxes } from "../store/clusters.ts";
import type { Store } from "../store/schema.ts";
import { addServer, changeServers, listServerRows, setServerState } from "../store/servers.ts";
import { listWebsiteRows } from "../store/websites.ts";
import type { ApiContext } from "./context.ts";
import type { Handler } from "./handler.ts";
import { describeServers, isNeededBackend } from "./servers.ts";

export const createCluster: Handler<"createCluster"> = async (context, { input: { boxes, minBoxes } }) => {
  const { store, config, onRowsChanged } = context;
  const hostKey = await makeHostKey("shell");
  const id = await changeServers(store, async (transaction) => {
    const cluster = await insertCluster(transaction, minBoxes);
    const add = (suffix: string, role: "cache" | "shell", key: typeof hostKey | null) =>
      addServer(transaction, config.subnet, { name: `${cluster}${suffix}`, roles: [role], cluster, hostKey: key });
    await add("v1", "cache", null);
    await add("v2", "cache", null);
    await add("s", "shell", hostKey);
    await addBoxes(transaction, config, cluster, numbersFrom(1, boxes));
    return cluster;
  });
  await onRowsChanged();
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

export const scaleCluster: Handler<"scaleCluster"> = async (context, { params: { cluster }, input: { boxes, minBoxes } }) => {
  const { store, config, onRowsChanged } = context;
  await changeServers(store, async (transaction) => {
    await requireCluster(transaction, cluster);
    if (minBoxes !== undefined) await setMinBoxes(transaction, cluster, minBoxes);
    if (boxes !== undefined) await setBoxes(transaction, config, { cluster, boxes });
  });
  await onRowsChanged();
  return describeCluster(context, cluster);
};

export const deleteCluster: Handler<"deleteCluster"> = async ({ store, onRowsChanged }, { params: { cluster } }) => {
  await requireCluster(store, cluster);
  await markClusterDeleted(store, cluster);
  await onRowsChanged();
  return { id: cluster };
};

async function setBoxes(store: Store, config: ControlConfig, { cluster, boxes }: { cluster: ClusterId; boxes: number }): Promise<void> {
  const all = (await listServerRows(store)).filter((server) => server.cluster === cluster && server.roles.includes("box"));
  // Those that get no visitors are the first to go, then the highest.
  const present = all
    .filter((server) => server.state === "present")
    .sort((a, b) => Number(a.fence !== null) - Number(b.fence !== null) || compareIds(a.name, b.name))
    .map((server) => server.name);
  const surplus = present.slice(boxes);
  await setServerState(store, surplus, "leaving");
  const taken = new Set(all.map((server) => server.name));
  const free = numbersFrom(1, all.length + boxes).filter((number) => !taken.has(`${cluster}b${number}`));
  await addBoxes(store, config, cluster, free.slice(0, Math.max(0, boxes - present.length)));
}

async function describeCluster(context: ApiContext, id: ClusterId): Promise<Cluster> {
  const { store } = context;
  const [all, websites, minBoxes] = await Promise.all([describeServers(context), listWebsiteRows(store), readMinBoxes(store, id)]);
  const servers = all.filter((server) => server.cluster === id);
  // The edge routes to the cluster and the backends know its servers: without them it does not serve.
  const needed = [...servers, ...all.filter(isNeededBackend)];
  return {
    id,
    boxes: servers.filter((server) => server.roles.includes("box") && server.state !== "deleting").length,
    minBoxes,
    isReady: needed.every((server) => server.state === "ready"),
    servers,
    websites: websites.filter((website) => website.cluster === id).map((website) => website.id),
  };
}

async function addBoxes(store: Store, { subnet }: ControlConfig, cluster: ClusterId, numbers: readonly number[]): Promise<void> {
  for (const number of numbers) await addServer(store, subnet, { name: `${cluster}b${number}`, roles: ["box"], cluster, hostKey: null });
}

function numbersFrom(first: number, count: number): number[] {
  return Array.from({ length: count }, (_, index) => first + index);
}
