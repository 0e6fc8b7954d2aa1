import type { Command } from "commander";
import { Fault } from "#base/fault.ts";
import { policyRoutes } from "#contract/api/policy.ts";
import type { Rule } from "#contract/policy.ts";
import { declare, group } from "../command.ts";
import { renderTable } from "../render/table.ts";

/** `boxyard policy …`. */
export function policyCommand(): Command {
  return group("policy", "Rules: what people of a role may ask which servers for", [list(), allow(), remove()]);
}

function list(): Command {
  return declare<[], object, Rule[]>({
    usage: "list",
    summary: "All rules; operators may everything without one",
    examples: ["policy list"],
    run: ({ client }) => client.call(policyRoutes.listRules),
    render: renderRules,
  });
}

function allow(): Command {
  return declare<[string, string[]], { on: string }, Rule>({
    usage: "allow <role> <action...>",
    summary: "Allow a role actions on the servers of a target; * stands for any letters",
    examples: ["policy allow caches 'service.*' 'log.*' --on cache", "policy allow customer1 server.ping server.disk --on c1"],
    options: (command) => command.requiredOption("--on <expression>", "which servers: names, roles, clusters, websites, facts; all"),
    run: ({ client, args: [role, actions], options: { on } }) =>
      client.call(policyRoutes.addRule, { input: { role, actions, target: on } }),
    render: (rule) => renderRules([rule]),
  });
}

function remove(): Command {
  return declare<[string], object, { number: number }>({
    usage: "remove <rule>",
    summary: "Take a rule back, by its number",
    examples: ["policy remove 3"],
    run: ({ client, args: [rule] }) => {
      if (!/^\d{1,9}$/.test(rule)) throw new Fault("input.invalid", `“${rule}” is no rule's number`, { next: "boxyard policy list" });
      return client.call(policyRoutes.removeRule, { params: { rule: Number(rule) } });
    },
    render: ({ number }) => `Removed rule ${number}`,
  });
}

function renderRules(rules: readonly Rule[]): string {
  return renderTable(rules, [
    { title: "rule", show: ({ number }) => String(number) },
    { title: "role", show: ({ role }) => role },
    { title: "may", show: ({ actions }) => actions.join(" ") },
    { title: "on", show: ({ target }) => target },
  ]);
}
