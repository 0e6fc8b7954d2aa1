import type { Command } from "commander";
import { type Website, websiteRoutes } from "#contract/api/websites.ts";
import { declare, group } from "../command.ts";
import { confirmDelete } from "../confirm.ts";
import { renderFacts, renderTable } from "../render/table.ts";
import { websiteGone, websiteReady } from "../wait.ts";

/** `boxyard website …`. */
export function websiteCommand(): Command {
  return group("website", "Websites: a Git repository, a branch, an environment, domains, a database", [
    create(),
    list(),
    show(),
    remove(),
  ]);
}

function create(): Command {
  return declare<[], { cluster: string; domain: string; environment: string; branch: string }, Website>({
    usage: "create",
    summary: "Create a website on a cluster and wait until it can be pushed to",
    examples: [
      "website create --cluster c1 --domain www.example.org",
      "website create --cluster c1 --domain test.example.org --environment test --branch develop",
    ],
    next: ["key add s1 ~/.ssh/id_ed25519.pub        who may push and log in", "website show s1                         where to push to"],
    options: (command) =>
      command
        .requiredOption("--cluster <cluster>", "the cluster that carries it, for example c1")
        .requiredOption("--domain <domain>", "its main domain")
        .option("--environment <label>", "chooses its environment-specific files", "production")
        .option("--branch <branch>", "the branch that deploys", "main"),
    waits: true,
    run: async ({ client, options: { cluster, domain, environment, branch }, wait }) => {
      const website = await client.call(websiteRoutes.createWebsite, {
        input: { cluster, domain: domain.toLowerCase(), environment, branch },
      });
      return wait === null ? website : websiteReady(client, website.id, wait);
    },
    render: (website) => `${renderWebsite(website)}\n\n${firstSteps(website)}`,
  });
}

function list(): Command {
  return declare({
    usage: "list",
    summary: "All websites",
    examples: ["website list"],
    run: ({ client }) => client.call(websiteRoutes.listWebsites),
    render: (websites) =>
      renderTable(websites, [
        { title: "id", show: ({ id }) => id },
        { title: "cluster", show: ({ cluster }) => cluster },
        { title: "environment", show: ({ environment }) => environment },
        { title: "branch", show: ({ branch }) => branch },
        { title: "release", show: ({ release }) => release?.slice(0, 8) ?? "-" },
        { title: "domains", show: ({ domains }) => domains.map(({ name }) => name).join(",") },
      ]),
  });
}

function show(): Command {
  return declare<[string], object, Website>({
    usage: "show <website>",
    summary: "One website: addresses, domains, the release on each server, and what is wrong with it or its servers",
    examples: ["website show s1", "website show s1 --json"],
    run: ({ client, args: [website] }) => client.call(websiteRoutes.showWebsite, { params: { website } }),
    isWell: ({ troubles }) => troubles.length === 0,
    render: renderWebsite,
  });
}

function remove(): Command {
  return declare<[string], { yes?: boolean }, { id: string }>({
    usage: "delete <website>",
    summary: "Delete a website with its repository, releases, database and files",
    examples: ["website delete s3", "website delete s3 --yes"],
    options: (command) => command.option("--yes", "do not ask (without a terminal nobody is asked)"),
    waits: true,
    run: async ({ client, args: [id], options, wait }) => {
      const website = await client.call(websiteRoutes.showWebsite, { params: { website: id } });
      await confirmDelete(`${id} (${website.domains[0]?.name}) with its repository, database and files`, id, options);
      const deleted = await client.call(websiteRoutes.deleteWebsite, { params: { website: id } });
      if (wait !== null) await websiteGone(client, website, wait);
      return deleted;
    },
    render: ({ id }) => `Website ${id} is deleted.`,
  });
}

/** A website as people see it. */
export function renderWebsite(website: Website): string {
  const { id, cluster, environment, branch, domains, gitUrl, sshUrl, release, servers, troubles } = website;
  const facts = renderFacts({
    website: id,
    cluster,
    environment,
    branch: `${branch} (deploys when it is pushed)`,
    domains: domains.map(({ name, kind }) => (kind === "main" ? name : `${name} (${kind})`)).join(", "),
    git: gitUrl,
    ssh: sshUrl,
    release: release ?? "none yet",
    troubles: troubles.length === 0 ? "none" : troubles.join("\n"),
  });
  const table = renderTable(servers, [
    { title: "server", show: ({ name }) => name },
    { title: "role", show: ({ role }) => role },
    { title: "release", show: (server) => server.release ?? "-" },
  ]);
  return `${facts}\n\n${table}`;
}

function firstSteps({ id, gitUrl, branch }: Website): string {
  return [
    "Next:",
    `  boxyard key add ${id} ~/.ssh/id_ed25519.pub`,
    `  git remote add boxyard ${gitUrl}`,
    `  git push boxyard ${branch}`,
  ].join("\n");
}
