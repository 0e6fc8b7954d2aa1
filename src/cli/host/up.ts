import { Listr, ListrTaskEventType, ListrTaskState } from "listr2";
import { until } from "#base/retry.ts";
import { serverRoutes } from "#contract/api/servers.ts";
import { statusRoutes, type YardStatus } from "#contract/api/status.ts";
import type { Website } from "#contract/api/websites.ts";
import type { ControlReplicas } from "#contract/control-config.ts";
import { type Client, connect } from "../client.ts";
import { websiteReady, yardReady } from "../wait.ts";
import { type Bootstrap, bootstrapSteps, type Note } from "./bootstrap.ts";
import { ensureExampleCluster, ensureExamplePushed, ensureExampleWebsite, ensureGitAccess, fetchThroughEdge } from "./example.ts";
import { readYardState } from "./yard-state.ts";

export interface UpOptions {
  readonly subnet?: string;
  readonly controlReplicas?: ControlReplicas;
  readonly bare?: boolean;
  readonly json?: boolean;
}

interface Made extends Bootstrap {
  client?: Client;
  status?: YardStatus;
  cluster?: string;
  website?: Website;
  directory?: string;
  page?: { readonly url: string; readonly release: string | null };
}

/** A whole yard with an example website, from whatever is there. */
export async function up(yard: string, options: UpOptions): Promise<void> {
  const startedAt = performance.now();
  const isPlain = !process.stdout.isTTY || options.json === true;
  const made: Made = { yard, subnet: options.subnet, replicas: options.controlReplicas };
  const steps = [...bootstrapSteps, { title: "Servers of the yard", run: waitForServers }, ...(options.bare ? [] : exampleSteps)];
  const list = new Listr<Made>(
    steps.map(({ title, run }) => ({
      title,
      task: async (_context, task): Promise<void> => {
        const stepStartedAt = performance.now();
        let said = "";
        await run(made, (text, when) => {
          said = `: ${text}`;
          task.title = `${title}${said}`;
          if (isPlain && when === "at once") process.stderr.write(`${task.title}\n`);
        });
        task.title = `${title}${said} (${((performance.now() - stepStartedAt) / 1000).toFixed(1)} s)`;
      },
    })),
    // Progress never stands on standard output when that carries the JSON result.
    { renderer: "default", silentRendererCondition: isPlain },
  );
  if (isPlain) tellPlainly(list);
  await list.run(made);
  if (options.json) console.log(JSON.stringify(result(made), null, 2));
  else console.log(nextSteps(made, (performance.now() - startedAt) / 1000));
}

const exampleSteps: { readonly title: string; readonly run: (made: Made, note: Note) => Promise<void> }[] = [
  {
    title: "Example cluster",
    run: async (made, note) => {
      made.cluster = await ensureExampleCluster(clientOf(made), note);
    },
  },
  {
    title: "Example website",
    run: async (made, note) => {
      made.website = await ensureExampleWebsite(clientOf(made), made.yard, made.cluster ?? "", note);
      note(made.website.id);
    },
  },
  {
    title: "git push",
    run: async (made, note) => {
      made.directory = await ensureExamplePushed(made.yard, websiteOf(made), note);
      made.website = await websiteReady(clientOf(made), websiteOf(made).id, { progress: () => undefined });
    },
  },
  {
    title: "Page through the edge",
    run: async (made, note) => {
      const { caPem = "" } = await readYardState(made.yard);
      made.page = await fetchThroughEdge(websiteOf(made), made.status?.edge.address ?? "", caPem);
      note(`${made.page.url} answers 200`);
    },
  },
];

/** Control and its backends; a yard that was there already waits for all its servers. */
async function waitForServers(made: Made, note: Note): Promise<void> {
  const client = await connect(made.yard);
  const status = await until("the control service", () => client.call(statusRoutes.status), { timeoutMs: 120_000 });
  await yardReady(client, { progress: note });
  note(`${(await client.call(serverRoutes.listServers)).length} ready`);
  Object.assign(made, { client, status });
  await ensureGitAccess(made.yard, status);
}

function clientOf(made: Made): Client {
  if (made.client === undefined) throw new Error("control was not waited for");
  return made.client;
}

function websiteOf(made: Made): Website {
  if (made.website === undefined) throw new Error("the website was not made");
  return made.website;
}

function result({ yard, status, website, page, directory }: Made): unknown {
  return {
    yard,
    control: status?.control,
    edge: status?.edge,
    servers: status?.servers,
    website: website ?? null,
    page: page ?? null,
    example: directory ?? null,
  };
}

function nextSteps({ yard, status, website, directory }: Made, seconds: number): string {
  const boxyard = yard === "main" ? "bin/boxyard" : `bin/boxyard --yard ${yard}`;
  const edge = status?.edge.address ?? "";
  const lines = [``, `Yard ${yard} is up (${seconds.toFixed(1)} s).`, ``];
  if (website !== undefined) {
    const domain = website.domains[0]?.name ?? "";
    lines.push(
      `  The page     curl --cacert <(${boxyard} ca) --resolve ${domain}:443:${edge} https://${domain}/`,
      `  A browser    echo '${edge} ${domain}' >> /etc/hosts   (and import the yard's CA: ${boxyard} ca)`,
      `  Change it    cd ${directory}; edit docroot/index.php; git commit -am "My change"; git push`,
      `  Git URL      ${website.gitUrl}`,
      ``,
    );
  }
  lines.push(
    `  ${boxyard} status            the yard at a glance`,
    `  ${boxyard} server list       its servers`,
    `  ${boxyard} cluster create    another customer`,
    `  ${boxyard} website create --cluster c1 --domain www.example.org`,
    `  ${boxyard} deployment list s1`,
    `  ${boxyard} --help`,
    ``,
    `  Remove it all: bin/down${yard === "main" ? "" : ` --yard ${yard}`}`,
  );
  return lines.join("\n");
}

/** One line a finished step on standard error, where there is no terminal to redraw. */
function tellPlainly(list: Listr<Made, "default", "simple">): void {
  for (const task of list.tasks)
    task.on(ListrTaskEventType.STATE, (state) => void (state === ListrTaskState.COMPLETED && process.stderr.write(`${task.title}\n`)));
}
