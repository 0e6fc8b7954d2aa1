import type { Command } from "commander";
import { api } from "#contract/api.ts";
import { declare } from "../command.ts";
import { readYardState } from "../host/yard-state.ts";
import { renderFacts, renderTable } from "../render/table.ts";

/** The yard as a whole: status, servers, ping, certificate authority. */
export const yardCommands: readonly Command[] = [
  declare({
    usage: "status",
    summary: "The yard at a glance",
    examples: ["status", "--yard try status --json"],
    run: ({ client }) => client.call(api.status),
    render: ({ yard, control, edge, git, servers, clusters, websites, troubles }) =>
      renderFacts({
        yard,
        control: `${control.url} (version ${control.version})`,
        edge: edge.address ?? "none yet",
        git: git.address ?? "none yet",
        servers: `${servers.ready} of ${servers.total} ready`,
        clusters: String(clusters),
        websites: String(websites),
        troubles: troubles.length === 0 ? "none" : troubles.join("\n"),
      }),
  }),
  declare<[string | undefined], { timeout: string }, { server: string; durationMs: number; error: string | null }[]>({
    usage: "ping [target]",
    summary: "Ask servers for a sign of life: a server, role, cluster or website; all when there is no target",
    examples: ["ping", "ping c1", "ping box", "ping s1 --timeout 500"],
    options: (command) => command.option("--timeout <ms>", "how long to wait for an answer", "2000"),
    run: ({ client, args: [target], options }) =>
      client.call(api.ping, { input: { timeoutMs: Number(options.timeout), ...(target === undefined ? {} : { target }) } }),
    render: (replies) =>
      renderTable(replies, [
        { title: "server", show: (reply) => reply.server },
        { title: "answer", show: (reply) => reply.error ?? `${reply.durationMs.toFixed(1)} ms` },
      ]),
    exitCode: (replies) => (replies.some((reply) => reply.error !== null) ? 1 : 0),
  }),
  declare({
    usage: "ca",
    summary: "Print the yard's certificate authority (PEM), for browsers and curl --cacert",
    examples: ["ca > boxyard-ca.pem"],
    run: async ({ client }) => ({ caPem: (await readYardState(client.yard)).caPem ?? "" }),
    render: ({ caPem }) => caPem.trimEnd(),
  }),
];
