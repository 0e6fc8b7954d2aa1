import { Command, Option } from "commander";
import { api, type Website } from "#contract/api.ts";
import type { DomainKind } from "#contract/domain.ts";
import { declare } from "../command.ts";
import { websiteReady } from "../wait.ts";
import { renderWebsite } from "./website.ts";

interface Waiting {
  readonly wait: boolean;
}

/** `boxyard domain …`. */
export function domainCommand(): Command {
  return new Command("domain").description("Domains of websites").addCommand(add()).addCommand(remove());
}

function add(): Command {
  return declare<[string, string], Waiting & { kind: DomainKind; redirect?: boolean }, Website>({
    usage: "add <website> <domain>",
    summary: "Add a domain and wait until the edge serves it",
    examples: ["domain add s1 example.org", "domain add s1 old.example.org --kind redirect", "domain add s1 new.example.org --kind main"],
    options: (command) =>
      command
        .addOption(
          new Option("--kind <kind>", "alias serves the website, redirect sends visitors to its main domain, main replaces that")
            .choices(["alias", "redirect", "main"])
            .default("alias"),
        )
        .option("--redirect", "short for --kind redirect")
        .option("--no-wait", "return at once"),
    run: async ({ client, args: [website, domain], options, progress }) => {
      const kind = options.redirect ? "redirect" : options.kind;
      const changed = await client.call(api.addDomain, { params: { website }, input: { name: domain.toLowerCase(), kind } });
      return options.wait ? websiteReady(client, website, { progress }) : changed;
    },
    render: renderWebsite,
  });
}

function remove(): Command {
  return declare<[string, string], Waiting, Website>({
    usage: "remove <website> <domain>",
    summary: "Remove a domain and wait until the edge has forgotten it",
    examples: ["domain remove s1 old.example.org"],
    options: (command) => command.option("--no-wait", "return at once"),
    run: async ({ client, args: [website, domain], options, progress }) => {
      const changed = await client.call(api.removeDomain, { params: { website, domain: domain.toLowerCase() } });
      return options.wait ? websiteReady(client, website, { progress }) : changed;
    },
    render: renderWebsite,
  });
}
