import { type Command, Option } from "commander";
import { domainRoutes } from "#contract/api/domains.ts";
import type { Website } from "#contract/api/websites.ts";
import { DomainKind } from "#contract/domain.ts";
import { declare, group } from "../command.ts";
import { websiteReady } from "../wait.ts";
import { renderWebsite } from "./website.ts";

interface AddOptions {
  readonly kind: DomainKind;
  readonly alias?: boolean;
  readonly redirect?: boolean;
}

/** `boxyard domain …`. */
export function domainCommand(): Command {
  return group("domain", "Domains of websites; website show lists them", [add(), remove()]);
}

function add(): Command {
  return declare<[string, string], AddOptions, Website>({
    usage: "add <website> <domain>",
    summary: "Add a domain and wait until the edge serves it",
    examples: ["domain add s1 example.org", "domain add s1 old.example.org --redirect", "domain add s1 new.example.org --kind main"],
    options: (command) =>
      command
        .addOption(
          new Option("--kind <kind>", "alias serves the website, redirect sends visitors to its main domain, main replaces that")
            .choices(DomainKind.options)
            .default("alias"),
        )
        .addOption(new Option("--alias", "short for --kind alias").conflicts(["kind", "redirect"]))
        .addOption(new Option("--redirect", "short for --kind redirect").conflicts(["kind", "alias"])),
    waits: true,
    run: async ({ client, args: [website, domain], options, wait }) => {
      const kind = options.redirect ? "redirect" : options.kind;
      const changed = await client.call(domainRoutes.addDomain, { params: { website }, input: { name: domain.toLowerCase(), kind } });
      return wait === null ? changed : websiteReady(client, website, wait);
    },
    render: renderWebsite,
  });
}

function remove(): Command {
  return declare<[string, string], object, Website>({
    usage: "remove <website> <domain>",
    summary: "Remove a domain and wait until the edge has forgotten it",
    examples: ["domain remove s1 old.example.org"],
    waits: true,
    run: async ({ client, args: [website, domain], wait }) => {
      const changed = await client.call(domainRoutes.removeDomain, { params: { website, domain: domain.toLowerCase() } });
      return wait === null ? changed : websiteReady(client, website, wait);
    },
    render: renderWebsite,
  });
}
