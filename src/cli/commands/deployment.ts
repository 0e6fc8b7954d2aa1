import { setTimeout as sleep } from "node:timers/promises";
import { type Command, Option } from "commander";
import { Fault } from "#base/fault.ts";
import { api } from "#contract/api.ts";
import type { Deployment } from "#contract/deployment.ts";
import type { Client } from "../client.ts";
import { declare, group, type Invocation, wholeNumber } from "../command.ts";
import { printable } from "../render/printable.ts";
import { renderFacts, renderTable } from "../render/table.ts";
import { askPatiently } from "../wait.ts";

const LOOK_EVERY_MS = 250;
/** A deployment goes on when control is restarted, and so does watching it. */
const CONTROL_AWAY_MS = 120_000;

/** `boxyard deployment …`. */
export function deploymentCommand(): Command {
  return group("deployment", "Deployments: what was pushed, and what became of it", [list(), show(), watch()]);
}

function list(): Command {
  return declare<[string | undefined], { limit: number }, Deployment[]>({
    usage: "list [website]",
    summary: "Deployments, newest last",
    examples: ["deployment list", "deployment list s1", "deployment list s1 --limit 5 --json"],
    options: (command) => command.addOption(new Option("--limit <n>", "at most so many of the newest").argParser(wholeNumber).default(100)),
    next: ["deployment show 12                      one of them, server by server"],
    run: ({ client, args: [website], options: { limit } }) =>
      client.call(api.listDeployments, { input: { limit, ...(website === undefined ? {} : { website }) } }),
    render: (deployments) =>
      renderTable(deployments, [
        { title: "id", show: ({ id }) => String(id) },
        { title: "website", show: ({ website }) => website },
        { title: "commit", show: ({ commit }) => commit.slice(0, 8) },
        { title: "state", show: ({ state }) => state },
        { title: "accepted", show: ({ acceptedAt }) => acceptedAt.slice(0, 19).replace("T", " ") },
        { title: "", show: ({ reason }) => reason ?? "" },
      ]),
  });
}

function show(): Command {
  return declare<[string], object, Deployment>({
    usage: "show <deployment>",
    summary: "One deployment with the moments of each server",
    examples: ["deployment show 12", "deployment show 12 --json"],
    run: ({ client, args: [id] }) => client.call(api.showDeployment, { params: { deployment: idOf(id) } }),
    render: renderDeployment,
  });
}

function watch(): Command {
  return declare<[string], object, Deployment>({
    usage: "watch <deployment|website>",
    summary: "Follow a deployment, or the newest one of a website, to its end; exits 1 when it did not go live",
    examples: ["deployment watch 12", "deployment watch s1"],
    run: async (invocation) => follow(invocation, await findDeployment(invocation.client, invocation.args[0])),
    render: renderDeployment,
    exitCode: ({ state }) => (state === "live" ? 0 : 1),
  });
}

async function follow({ client, progress }: Invocation<[string], object>, deployment: number): Promise<Deployment> {
  const ask = <T>(question: () => Promise<T>): Promise<T> => askPatiently({ progress, timeoutMs: CONTROL_AWAY_MS }, question);
  for (let after = 0; ; ) {
    const { events, isFinal } = await ask(() => client.call(api.deploymentEvents, { params: { deployment }, input: { after } }));
    for (const event of events) if (event.kind === "deployment") progress(`${event.at.slice(11, 23)}  ${printable(event.line)}`);
    after += events.length;
    if (isFinal && events.length === 0) return ask(() => client.call(api.showDeployment, { params: { deployment } }));
    if (events.length === 0) await sleep(LOOK_EVERY_MS);
  }
}

async function findDeployment(client: Client, given: string): Promise<number> {
  if (!given.startsWith("s")) return idOf(given);
  const newest = (await client.call(api.listDeployments, { input: { website: given, limit: 1 } })).at(-1);
  if (newest !== undefined) return newest.id;
  throw new Fault("deployment.none", `${given} has no deployment yet`, { next: `push to it: boxyard website show ${given} tells where` });
}

function idOf(text: string): number {
  if (/^\d{1,9}$/.test(text)) return Number(text);
  throw new Fault("input.invalid", `“${text}” is no deployment's number`, { next: "see which there are: boxyard deployment list" });
}

function renderDeployment({ id, website, commit, state, reason, acceptedAt, finishedAt, servers }: Deployment): string {
  const facts = renderFacts({
    deployment: String(id),
    website,
    commit,
    state,
    reason: reason ?? "-",
    accepted: acceptedAt,
    finished: finishedAt ?? "-",
  });
  const table = renderTable(servers, [
    { title: "server", show: ({ name }) => name },
    { title: "staged", show: ({ stagedAt }) => stagedAt?.slice(11) ?? "-" },
    { title: "switched", show: ({ switchedAt }) => switchedAt?.slice(11) ?? "-" },
    { title: "error", show: ({ error }) => error ?? "" },
  ]);
  return `${facts}\n\n${table}`;
}
