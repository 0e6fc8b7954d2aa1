import { type Command, Option } from "commander";
import { governorRoutes } from "#contract/api/governors.ts";
import type { Governor } from "#contract/governor.ts";
import { declare, group, wholeNumber } from "../command.ts";
import { renderTable } from "../render/table.ts";

/** `boxyard governor …`. */
export function governorCommand(): Command {
  return group("governor", "Limits over the whole yard: at most so many servers at a time, however many requests there are", [
    list(),
    set(),
    remove(),
  ]);
}

function list(): Command {
  return declare<[], object, Governor[]>({
    usage: "list",
    summary: "All governors, with the servers that make use of them now",
    examples: ["governor list"],
    run: ({ client }) => client.call(governorRoutes.listGovernors),
    render: renderGovernors,
  });
}

function set(): Command {
  return declare<[string], { limit: number; actions: string[] }, Governor>({
    usage: "set <name>",
    summary: "Make or change a governor, for requests that name it and for all requests for its actions",
    examples: [
      "governor set php --limit 1",
      "do service.restart --service php8.4-fpm --target box --governor php",
      "governor set restarts --limit 2 --actions '*.restart'",
    ],
    options: (command) =>
      command
        .addOption(new Option("--limit <n>", "at most so many servers at a time").argParser(wholeNumber).makeOptionMandatory())
        .option("--actions <action...>", "govern every request for these; * stands for any letters", []),
    run: ({ client, args: [name], options: { limit, actions } }) =>
      client.call(governorRoutes.putGovernor, { input: { name, limit, actions } }),
    render: (governor) => renderGovernors([governor]),
  });
}

function remove(): Command {
  return declare<[string], object, { name: string }>({
    usage: "remove <name>",
    summary: "Remove a governor; what waits for it goes on",
    examples: ["governor remove php"],
    run: ({ client, args: [governor] }) => client.call(governorRoutes.removeGovernor, { params: { governor } }),
    render: ({ name }) => `Removed ${name}`,
  });
}

function renderGovernors(governors: readonly Governor[]): string {
  return renderTable(governors, [
    { title: "governor", show: ({ name }) => name },
    { title: "at most", show: ({ limit }) => String(limit) },
    { title: "of", show: ({ actions }) => actions.join(" ") || "requests that name it" },
    { title: "now", show: ({ holders }) => holders.map(({ server }) => server).join(" ") || "-" },
  ]);
}
