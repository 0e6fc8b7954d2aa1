import { Command } from "commander";
import { Fault } from "#base/fault.ts";
import { api, type Cluster } from "#contract/api.ts";
import { declare } from "../command.ts";
import { renderFacts, renderTable } from "../render/table.ts";
import { clusterGone, clusterReady, yardReady } from "../wait.ts";
import { renderServers } from "./server.ts";

interface Waiting {
  readonly wait: boolean;
}

/** `boxyard cluster …`. */
export function clusterCommand(): Command {
  return new Command("cluster")
    .description("Clusters: what one customer has, two caches, a shell server and boxes")
    .addCommand(create())
    .addCommand(list())
    .addCommand(show())
    .addCommand(scale())
    .addCommand(remove());
}

function create(): Command {
  return declare<[], Waiting & { boxes: string }, Cluster>({
    usage: "create",
    summary: "Create a cluster and wait until its servers are ready",
    examples: ["cluster create", "cluster create --boxes 4"],
    options: (command) => command.option("--boxes <n>", "number of boxes", "2").option("--no-wait", "return at once"),
    run: async ({ client, options, progress }) => {
      const cluster = await client.call(api.createCluster, { input: { boxes: countOf(options.boxes) } });
      return options.wait ? clusterReady(client, cluster.id, { progress }) : cluster;
    },
    render: renderCluster,
  });
}

function list(): Command {
  return declare({
    usage: "list",
    summary: "All clusters",
    examples: ["cluster list"],
    run: ({ client }) => client.call(api.listClusters),
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
    run: ({ client, args: [cluster] }) => client.call(api.showCluster, { params: { cluster } }),
    render: renderCluster,
  });
}

function scale(): Command {
  return declare<[string, string | undefined], Waiting & { boxes?: string }, Cluster>({
    usage: "scale <cluster> [boxes]",
    summary: "Set the number of boxes and wait until all serve; surplus boxes leave without a lost request",
    examples: ["cluster scale c1 4", "cluster scale c1 --boxes 2"],
    options: (command) => command.option("--boxes <n>", "number of boxes").option("--no-wait", "return at once"),
    run: async ({ client, args: [cluster, positional], options, progress }) => {
      const boxes = countOf(options.boxes ?? positional ?? "");
      const scaled = await client.call(api.scaleCluster, { params: { cluster }, input: { boxes } });
      return options.wait ? clusterReady(client, cluster, { progress }) : scaled;
    },
    render: renderCluster,
  });
}

function remove(): Command {
  return declare<[string], Waiting, { id: string }>({
    usage: "delete <cluster>",
    summary: "Delete a cluster that has no websites, with its servers and shared files",
    examples: ["cluster delete c2"],
    options: (command) => command.option("--no-wait", "return at once"),
    run: async ({ client, args: [cluster], options, progress }) => {
      const deleted = await client.call(api.deleteCluster, { params: { cluster } });
      if (options.wait) {
        await clusterGone(client, cluster, { progress });
        await yardReady(client, { progress });
      }
      return deleted;
    },
    render: ({ id }) => `Cluster ${id} is gone.`,
  });
}

function countOf(text: string): number {
  if (/^\d{1,4}$/.test(text)) return Number(text);
  throw new Fault("input.invalid", `“${text}” is no number of boxes`, { next: "for example: boxyard cluster scale c1 --boxes 3" });
}

function renderCluster({ id, boxes, isReady, servers, websites }: Cluster): string {
  const facts = renderFacts({
    cluster: id,
    boxes: String(boxes),
    ready: isReady ? "yes" : "no",
    websites: websites.join(", ") || `none yet: boxyard website create --cluster ${id} --domain www.example.org`,
  });
  return `${facts}\n\n${renderServers(servers)}`;
}
