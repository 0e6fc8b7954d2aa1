import { Command } from "commander";
import { api, type Server } from "#contract/api.ts";
import { declare } from "../command.ts";
import { renderTable } from "../render/table.ts";

/** `boxyard server …`. */
export function serverCommand(): Command {
  return new Command("server").description("The yard's servers").addCommand(
    declare({
      usage: "list",
      summary: "All servers with their state",
      examples: ["server list", "server list --json"],
      run: ({ client }) => client.call(api.listServers),
      render: renderServers,
    }),
  );
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
    { title: "", show: ({ reason }) => reason?.split("\n")[0] ?? "" },
  ]);
}
