import type { Command } from "commander";
import { type BrokerState, statusRoutes, type YardStatus } from "#contract/api/status.ts";
import { declare } from "../command.ts";
import { readYardState } from "../host/yard-state.ts";
import { renderFacts } from "../render/table.ts";

/** The yard as a whole: status, certificate authority. */
export function yardCommands(): Command[] {
  return [status(), certificateAuthority()];
}

function status(): Command {
  return declare({
    usage: "status",
    summary: "The yard at a glance",
    examples: ["status", "--yard try status --json"],
    next: ["server list              when not all servers are ready"],
    run: ({ client }) => client.call(statusRoutes.status),
    isWell: ({ troubles }) => troubles.length === 0,
    render: ({ yard, control, edge, git, servers, brokers, clusters, websites, troubles }) =>
      renderFacts({
        yard,
        control: describeControl(control),
        edge: edge.address ?? "none yet",
        git: git.address ?? "none yet",
        servers: `${servers.ready} of ${servers.total} ready`,
        brokers: brokers.map(describeBroker).join("\n"),
        clusters: String(clusters),
        websites: String(websites),
        troubles: troubles.length === 0 ? "none" : troubles.join("\n"),
      }),
  });
}

function describeControl({ url, version, servers }: YardStatus["control"]): string {
  const address = `${url} (version ${version})`;
  return servers.length === 1 ? address : [address, ...servers.map(({ server, state }) => `${server} ${state}`)].join("\n");
}

function describeBroker({ server, state, leads, behindBy }: BrokerState): string {
  const lag = state === "behind" ? `, ${behindBy} entries` : "";
  return `${server} ${state}${lag}${leads.length === 0 ? "" : `, leads ${leads.join(", ")}`}`;
}

function certificateAuthority(): Command {
  return declare({
    usage: "ca",
    summary: "Print the yard's certificate authority (PEM), for browsers and curl --cacert",
    examples: ["ca > boxyard-ca.pem"],
    run: async ({ client }) => ({ caPem: (await readYardState(client.yard)).caPem ?? "" }),
    render: ({ caPem }) => caPem.trimEnd(),
  });
}
