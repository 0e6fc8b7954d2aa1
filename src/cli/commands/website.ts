import { createInterface } from "node:readline/promises";
import { Command } from "commander";
import { Fault } from "#base/fault.ts";
import { api, type Website } from "#contract/api.ts";
import { declare } from "../command.ts";
import { renderFacts, renderTable } from "../render/table.ts";
import { websiteReady, yardReady } from "../wait.ts";

interface Waiting {
  readonly wait: boolean;
}

/** `boxyard website …`. */
export function websiteCommand(): Command {
  return new Command("website")
    .description("Websites: a Git repository, a branch, an environment, domains, a database")
    .addCommand(create())
    .addCommand(list())
    .addCommand(show())
    .addCommand(remove());
}

function create(): Command {
  return declare<[], Waiting & { cluster: string; domain: string; environment: string; branch: string }, Website>({
    usage: "create",
    summary: "Create a website on a cluster and wait until it can be pushed to",
    examples: [
      "website create --cluster c1 --domain www.example.org",
      "website create --cluster c1 --domain test.example.org --environment test --branch develop",
    ],
    options: (command) =>
      command
        .requiredOption("--cluster <cluster>", "the cluster that carries it, for example c1")
        .requiredOption("--domain <domain>", "its main domain")
        .option("--environment <label>", "chooses its environment-specific files", "production")
        .option("--branch <branch>", "the branch that deploys", "main")
        .option("--no-wait", "return at once"),
    run: async ({ client, options: { cluster, domain, environment, branch, wait }, progress }) => {
      const website = await client.call(api.createWebsite, { input: { cluster, domain: domain.toLowerCase(), environment, branch } });
      return wait ? websiteReady(client, website.id, { progress }) : website;
    },
    render: (website) =>
      `${renderWebsite(website)}\n\nNext:\n  boxyard key add ${website.id} ~/.ssh/id_ed25519.pub\n  git remote add boxyard ${website.gitUrl}\n  git push boxyard ${website.branch}`,
  });
}

function list(): Command {
  return declare({
    usage: "list",
    summary: "All websites",
    examples: ["website list"],
    run: ({ client }) => client.call(api.listWebsites),
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
    summary: "One website: addresses, domains, the release on each server",
    examples: ["website show s1", "website show s1 --json"],
    run: ({ client, args: [website] }) => client.call(api.showWebsite, { params: { website } }),
    render: renderWebsite,
  });
}

function remove(): Command {
  return declare<[string], Waiting & { yes?: boolean }, { id: string }>({
    usage: "delete <website>",
    summary: "Delete a website with its repository, releases, database and files",
    examples: ["website delete s3", "website delete s3 --yes"],
    options: (command) => command.option("--yes", "do not ask").option("--no-wait", "return at once"),
    run: async ({ client, args: [website], options, progress }) => {
      const { domains } = await client.call(api.showWebsite, { params: { website } });
      if (!options.yes && process.stdin.isTTY)
        await confirm(`Delete ${website} (${domains[0]?.name}) with everything in it? Type its id: `, website);
      const deleted = await client.call(api.deleteWebsite, { params: { website } });
      if (options.wait) await yardReady(client, { progress });
      return deleted;
    },
    render: ({ id }) => `Website ${id} is gone.`,
  });
}

async function confirm(question: string, wanted: string): Promise<void> {
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  const answer = await terminal.question(question);
  terminal.close();
  if (answer.trim() !== wanted) throw new Fault("website.not-confirmed", "nothing was deleted");
}

/** A website as people see it. */
export function renderWebsite(website: Website): string {
  const { id, cluster, environment, branch, domains, gitUrl, sshUrl, release, servers } = website;
  const facts = renderFacts({
    website: id,
    cluster,
    environment,
    branch: `${branch} (deploys when it is pushed)`,
    domains: domains.map(({ name, kind }) => (kind === "main" ? name : `${name} (${kind})`)).join(", "),
    git: gitUrl,
    ssh: sshUrl,
    release: release ?? "none yet",
  });
  const table = renderTable(servers, [
    { title: "server", show: ({ name }) => name },
    { title: "role", show: ({ role }) => role },
    { title: "release", show: (server) => server.release ?? "-" },
  ]);
  return `${facts}\n\n${table}`;
}
