import type { Server } from "#contract/api/servers.ts";
import type { Website } from "#contract/api/websites.ts";
import type { Role, WebsiteId } from "#contract/names.ts";
import { certificateFor } from "../authority/website-certificate.ts";
import { requireCluster } from "../store/clusters.ts";
import * as websites from "../store/websites.ts";
import type { ApiContext } from "./context.ts";
import type { Handler } from "./handler.ts";
import { describeServers, isNeededBackend, serverTroubles } from "./servers.ts";
import { websiteTroubles } from "./website-troubles.ts";

export const createWebsite: Handler<"createWebsite"> = async (context, { input: { cluster, domain, environment, branch } }) => {
  const { store, onRowsChanged } = context;
  await requireCluster(store, cluster);
  const id = await websites.createWebsite(store, {
    cluster,
    environment,
    branch,
    domain: { name: domain, kind: "main", certificate: await certificateFor(context.secrets.authority, domain) },
  });
  await onRowsChanged();
  return describeWebsite(context, id);
};

export const listWebsites: Handler<"listWebsites"> = async (context) => {
  const [rows, servers] = await Promise.all([websites.listWebsiteRows(context.store), describeServers(context)]);
  return rows.map((row) => describe(context, row, servers));
};

export const showWebsite: Handler<"showWebsite"> = (context, { params: { website } }) => describeWebsite(context, website);

export const deleteWebsite: Handler<"deleteWebsite"> = async ({ store, onRowsChanged }, { params: { website } }) => {
  await websites.readWebsite(store, website);
  await websites.deleteWebsite(store, website);
  await onRowsChanged();
  return { id: website };
};

/** A website as the API shows it. */
export async function describeWebsite(context: ApiContext, id: WebsiteId): Promise<Website> {
  return describe(context, await websites.readWebsite(context.store, id), await describeServers(context));
}

function describe({ fabric }: ApiContext, row: websites.WebsiteRow, servers: readonly Server[]): Website {
  const addressOf = (role: Role, cluster: string | null) =>
    servers.find((server) => server.roles.includes(role) && server.cluster === cluster)?.address ?? "";
  const carriers = servers.filter(
    (server) =>
      server.cluster === row.cluster && server.state !== "deleting" && (server.roles.includes("box") || server.roles.includes("shell")),
  );
  const concerned = servers.filter((server) => server.state !== "deleting" && (server.cluster === row.cluster || isNeededBackend(server)));
  return {
    id: row.id,
    cluster: row.cluster,
    environment: row.environment,
    branch: row.branch,
    domains: row.domains.map(({ name, kind }) => ({ name, kind })),
    gitUrl: `ssh://${row.id}@${addressOf("git", null)}/${row.id}`,
    sshUrl: `ssh://${row.id}@${addressOf("shell", row.cluster)}`,
    release: row.release,
    servers: carriers.map(({ name, roles }) => ({
      name,
      role: roles[0] ?? "box",
      release: fabric.registry().get(name)?.releases[row.id] ?? null,
    })),
    isReady: concerned.every((server) => server.state === "ready"),
    troubles: [...serverTroubles(concerned), ...websiteTroubles(fabric, row.id)],
  };
}
