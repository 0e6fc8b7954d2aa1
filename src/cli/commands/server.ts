import type { Command } from "commander";
import { api, type Server } from "#contract/api.ts";
import { declare, group } from "../command.ts";
import { renderTable } from "../render/table.ts";

/** `boxyard server …`. */
export function serverCommand(): Command {
  const list = declare({
    usage: "list",
    summary: "All servers with their state; what is not ready says why",
    examples: ["server list", "server list --json"],
    next: ["ping c1b1                whether a server answers now"],
    run: ({ client }) => client.call(api.listServers),
    render: renderServers,
  });
  return group("server", "The yard's servers", [list]);
}

/** Servers as people see them. */
export function renderServers(servers: readonly Server[]): string {
  return renderTable(servers, [
    { title: "name", show: ({ name }) => name },
    { title: "roles", show: ({ roles }) => roles.join(",") },
    { title: "cluster", show: ({ cluster }) => cluster ?? "-" },
    { title: "address", show: ({ address }) => address },
    { title: "state", show: ({ state }) => state },
    {
      title: "generation",
      show: ({ generation, targetGeneration }) =>
        generation === targetGeneration ? String(generation) : `${generation} of ${targetGeneration}`,
    },
    { title: "", show: ({ reason }) => reason ?? "" },
  ]);
}
