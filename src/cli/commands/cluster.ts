import { type Command, Option } from "commander";
import { Fault } from "#base/fault.ts";
import { type Cluster, clusterRoutes } from "#contract/api/clusters.ts";
import { declare, group, wholeNumber } from "../command.ts";
import { confirmDelete } from "../confirm.ts";
import { renderFacts, renderTable } from "../render/table.ts";
import { clusterGone, clusterReady } from "../wait.ts";
import { renderServers } from "./server.ts";

/** `boxyard cluster …`. */
export function clusterCommand(): Command {
  return group("cluster", "Clusters: what one customer has, two caches, a shell server and boxes", [
    create(),
    list(),
    show(),
    scale(),
    remove(),
  ]);
}

function create(): Command {
  return declare<[], { boxes: number; minBoxes?: number | null }, Cluster>({
    usage: "create",
    summary: "Create a cluster and wait until its servers are ready",
    examples: ["cluster create", "cluster create --boxes 4"],
    next: ["website create --cluster c1 --domain www.example.org"],
    options: (command) =>
      command.addOption(new Option("--boxes <n>", "number of boxes").argParser(wholeNumber).default(2)).addOption(minBoxesOption()),
    waits: true,
    run: async ({ client, options: { boxes, minBoxes = null }, wait }) => {
      const cluster = await client.call(clusterRoutes.createCluster, { input: { boxes, minBoxes } });
      return wait === null ? cluster : clusterReady(client, cluster.id, wait);
    },
    render: renderCluster,
  });
}

function list(): Command {
  return declare({
    usage: "list",
    summary: "All clusters",
    examples: ["cluster list"],
    run: ({ client }) => client.call(clusterRoutes.listClusters),
    render: (clusters) =>
      renderTable(clusters, [
        { title: "id", show: ({ id }) => id },
        { title: "boxes", show: ({ boxes }) => String(boxes) },
        { title: "ready", show: ({ isReady }) => (isReady ? "yes" : "no") },
        { title: "websites", show: ({ websites }) => websites.join(",") || "-" },
      ]),
  });
}

function show(): Command {
  return declare<[string], object, Cluster>({
    usage: "show <cluster>",
    summary: "One cluster with its servers",
    examples: ["cluster show c1"],
    run: ({ client, args: [cluster] }) => client.call(clusterRoutes.showCluster, { params: { cluster } }),
    render: renderCluster,
  });
}

function scale(): Command {
  return declare<[string, string | undefined], { boxes?: number; minBoxes?: number | null }, Cluster>({
    usage: "scale <cluster> [boxes]",
    summary: "Set the number of boxes and wait until all serve; surplus boxes leave without a lost request",
    examples: ["cluster scale c1 --boxes 4", "cluster scale c1 2", "cluster scale c1 --min-boxes 3"],
    options: (command) =>
      command.addOption(new Option("--boxes <n>", "number of boxes").argParser(wholeNumber)).addOption(minBoxesOption()),
    waits: true,
    run: async ({ client, args: [cluster, positional], options, wait }) => {
      const { minBoxes } = options;
      const isOnlyMin = minBoxes !== undefined && options.boxes === undefined && positional === undefined;
      const boxes = isOnlyMin ? {} : { boxes: boxesOf(options.boxes, positional) };
      const scaled = await client.call(clusterRoutes.scaleCluster, {
        params: { cluster },
        input: { ...boxes, ...(minBoxes === undefined ? {} : { minBoxes }) },
      });
      return wait === null ? scaled : clusterReady(client, cluster, wait);
    },
    render: renderCluster,
  });
}

function remove(): Command {
  return declare<[string], { yes?: boolean }, { id: string }>({
    usage: "delete <cluster>",
    summary: "Delete a cluster that has no websites, with its servers and shared files",
    examples: ["cluster delete c2", "cluster delete c2 --yes"],
    options: (command) => command.option("--yes", "do not ask (without a terminal nobody is asked)"),
    waits: true,
    run: async ({ client, args: [cluster], options, wait }) => {
      const { servers } = await client.call(clusterRoutes.showCluster, { params: { cluster } });
      await confirmDelete(`cluster ${cluster} with its ${servers.length} servers and its shared files`, cluster, options);
      const deleted = await client.call(clusterRoutes.deleteCluster, { params: { cluster } });
      if (wait !== null) await clusterGone(client, cluster, wait);
      return deleted;
    },
    render: ({ id }) => `Cluster ${id} is deleted.`,
  });
}

function minBoxesOption(): Option {
  const text = "deployments go on without failing boxes while so many others get visitors; “half” of all by default";
  return new Option("--min-boxes <n>", text).argParser((given) => (given === "half" ? null : wholeNumber(given)));
}

/** The number of boxes, given as --boxes or as the word after the cluster. */
function boxesOf(option: number | undefined, positional: string | undefined): number {
  const given = option ?? (/^\d{1,9}$/.test(positional ?? "") ? Number(positional) : undefined);
  if (given !== undefined) return given;
  throw new Fault("input.invalid", positional === undefined ? "how many boxes? none were given" : `“${positional}” is no number of boxes`, {
    next: "for example: boxyard cluster scale c1 --boxes 3",
  });
}

function renderCluster({ id, boxes, minBoxes, isReady, servers, websites }: Cluster): string {
  const facts = renderFacts({
    cluster: id,
    boxes: String(boxes),
    "needed by a deployment": minBoxes === null ? "half of the boxes" : String(minBoxes),
    ready: isReady ? "yes" : "no",
    websites: websites.join(", ") || `none yet: boxyard website create --cluster ${id} --domain www.example.org`,
  });
  return `${facts}\n\n${renderServers(servers)}`;
}
