import { type Command, Option } from "commander";
import { api } from "#contract/api.ts";
import { declare, seconds } from "../command.ts";
import { readYardState } from "../host/yard-state.ts";
import { renderFacts, renderTable } from "../render/table.ts";

/** The yard as a whole: status, ping, certificate authority. */
export function yardCommands(): Command[] {
  return [status(), ping(), certificateAuthority()];
}

function status(): Command {
  return declare({
    usage: "status",
    summary: "The yard at a glance",
    examples: ["status", "--yard try status --json"],
    next: ["server list              when not all servers are ready"],
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
  });
}

function ping(): Command {
  return declare<[string | undefined], { timeout: number }, { server: string; durationMs: number; error: string | null }[]>({
    usage: "ping [target]",
    summary: "Ask servers for a sign of life: a server, role, cluster or website; all when there is no target",
    examples: ["ping", "ping c1", "ping box", "ping s1 --timeout 0.5"],
    options: (command) =>
      command.addOption(new Option("--timeout <seconds>", "how long to wait for an answer").argParser(seconds).default(2)),
    run: ({ client, args: [target], options: { timeout } }) =>
      client.call(api.ping, { input: { timeoutMs: Math.round(timeout * 1000), ...(target === undefined ? {} : { target }) } }),
    render: (replies) =>
      renderTable(replies, [
        { title: "server", show: ({ server }) => server },
        { title: "answer", show: ({ error, durationMs }) => error ?? `${durationMs.toFixed(1)} ms` },
      ]),
    exitCode: (replies) => (replies.some(({ error }) => error !== null) ? 1 : 0),
  });
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
