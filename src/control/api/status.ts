import { API_PORT } from "../ports.ts";
import { listClusterIds } from "../store/clusters.ts";
import { listServerRows } from "../store/servers.ts";
import { listWebsiteRows } from "../store/websites.ts";
import type { Handler } from "./handler.ts";
import { describeServers, serverTroubles } from "./servers.ts";
import { websiteTroubles } from "./website-troubles.ts";

export const status: Handler<"status"> = async (context) => {
  const { config, store, version } = context;
  const [servers, rows, clusters, websites] = await Promise.all([
    describeServers(context),
    listServerRows(store),
    listClusterIds(store),
    listWebsiteRows(store),
  ]);
  const withRole = (role: "edge" | "git") => rows.find((row) => row.roles.includes(role));
  return {
    yard: config.yard,
    control: { url: `https://${config.address}:${API_PORT}`, version, servers: context.controls() },
    edge: { address: withRole("edge")?.address ?? null },
    git: { address: withRole("git")?.address ?? null, hostKey: withRole("git")?.host_key?.publicKey ?? "" },
    servers: { total: servers.length, ready: servers.filter((server) => server.state === "ready").length },
    brokers: context.brokers(),
    clusters: clusters.length,
    websites: websites.length,
    troubles: [...serverTroubles(servers), ...context.troubles(), ...websiteTroubles(context.fabric)],
  };
};
