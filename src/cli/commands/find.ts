import { type Command, Option } from "commander";
import type { z } from "zod";
import { serverRoutes } from "#contract/api/servers.ts";
import { declare } from "../command.ts";
import { renderTable } from "../render/table.ts";

type Found = z.output<typeof serverRoutes.findServers.output>;

/** `boxyard find` and `boxyard facts`: what control last heard of servers. */
export function findCommands(): Command[] {
  return [find(), facts()];
}

function find(): Command {
  return declare<[string[]], { names?: boolean; fact: string[] }, Found>({
    usage: "find [target...]",
    summary: "Servers of a target, as control last heard of them",
    examples: ["find box and c1", "find 'memory.total>4G and not c2'", "find cache --names", "find --fact os.release --fact load.minute"],
    options: (command) =>
      command
        .option("--names", "names only, one a line, to feed another command")
        .addOption(new Option("--fact <name...>", "facts to show").default([])),
    run: async ({ client, args: [target] }) => client.call(serverRoutes.findServers, { input: { target: target.join(" ") } }),
    render: (found, { names, fact }) =>
      names
        ? found.map(({ name }) => name).join("\n")
        : renderTable(found, [
            { title: "name", show: ({ name }) => name },
            { title: "roles", show: ({ roles }) => roles.join(",") },
            { title: "cluster", show: ({ cluster }) => cluster ?? "-" },
            { title: "state", show: ({ state }) => state },
            ...fact.map((name) => ({ title: name, show: (server: Found[number]) => String(server.facts[name] ?? "-") })),
          ]),
    exitCode: (found) => (found.length === 0 ? 1 : 0),
  });
}

interface Distribution {
  readonly fact: string;
  readonly counts: readonly { readonly value: string; readonly servers: readonly string[] }[];
}

function facts(): Command {
  return declare<[string, string[]], object, Distribution>({
    usage: "facts <name> [target...]",
    summary: "How a fact is spread over the yard: each value with the servers that have it",
    examples: ["facts os.release", "facts agent.version box", "facts os.kernel --json"],
    run: async ({ client, args: [fact, target] }) => {
      const found = await client.call(serverRoutes.findServers, { input: { target: target.join(" ") } });
      const values = Map.groupBy(found, ({ facts }) => String(facts[fact] ?? "(none)"));
      const counts = [...values].map(([value, having]) => ({ value, servers: having.map(({ name }) => name) }));
      return { fact, counts: counts.sort((a, b) => b.servers.length - a.servers.length) };
    },
    render: ({ counts }) =>
      renderTable(counts, [
        { title: "servers", show: ({ servers }) => String(servers.length) },
        { title: "value", show: ({ value }) => value },
        { title: "", show: ({ servers }) => (servers.length > 6 ? `${servers.slice(0, 6).join(" ")} …` : servers.join(" ")) },
      ]),
  });
}
