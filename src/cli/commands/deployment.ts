import { setTimeout as sleep } from "node:timers/promises";
import { type Command, Option } from "commander";
import { Fault } from "#base/fault.ts";
import { deploymentRoutes } from "#contract/api/deployments.ts";
import { MOST_HOLD_SECONDS } from "#contract/boxfile-deploy.ts";
import type { Deployment } from "#contract/deployment.ts";
import type { Client } from "../client.ts";
import { declare, group, type Invocation, wholeNumber } from "../command.ts";
import { storyTeller } from "../render/deployment-story.ts";
import { printable } from "../render/printable.ts";
import { renderFacts, renderTable } from "../render/table.ts";
import { askPatiently } from "../wait.ts";

const LOOK_EVERY_MS = 250;
/** A deployment goes on when control is restarted, and so does watching it. */
const CONTROL_AWAY_MS = 120_000;

/** `boxyard deploy` and `boxyard rollback`: deployments that nobody pushes. */
export function deployCommands(): Command[] {
  return [deploy(), rollback()];
}

/** `boxyard deployment …`. */
export function deploymentCommand(): Command {
  return group("deployment", "Deployments: what was pushed, and what became of it", [list(), show(), watch(), cancel()]);
}

function list(): Command {
  return declare<[string | undefined], { limit: number }, Deployment[]>({
    usage: "list [website]",
    summary: "Deployments, newest last",
    examples: ["deployment list", "deployment list s1", "deployment list s1 --limit 5 --json"],
    options: (command) => command.addOption(new Option("--limit <n>", "at most so many of the newest").argParser(wholeNumber).default(100)),
    next: ["deployment show 12                      one of them, server by server"],
    run: ({ client, args: [website], options: { limit } }) =>
      client.call(deploymentRoutes.listDeployments, { input: { limit, ...(website === undefined ? {} : { website }) } }),
    render: (deployments) =>
      renderTable(deployments, [
        { title: "id", show: ({ id }) => String(id) },
        { title: "website", show: ({ website }) => website },
        { title: "commit", show: ({ commit }) => commit.slice(0, 8) },
        { title: "state", show: ({ state }) => state },
        { title: "by", show: ({ kind, caller }) => (caller === null ? kind : `${kind} (${caller})`) },
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
    run: ({ client, args: [id] }) => client.call(deploymentRoutes.showDeployment, { params: { deployment: idOf(id) } }),
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

function cancel(): Command {
  return declare<[string], object, Deployment>({
    usage: "cancel <deployment>",
    summary: "Call a deployment off that has not switched yet; nothing changes on any server",
    examples: ["deployment cancel 12"],
    next: ["rollback s1                  what can be done when it has switched"],
    run: ({ client, args: [id] }) => client.call(deploymentRoutes.cancelDeployment, { params: { deployment: idOf(id) } }),
    render: ({ id, website, previous }) => `Deployment ${id} is cancelled; ${website} ${standsAt(previous)}.`,
  });
}

function deploy(): Command {
  return declare<[string], { ref: string; hold?: number | true }, Deployment>({
    usage: "deploy <website>",
    summary: "Deploy a commit that the website's repository has already, and follow it to its end",
    examples: ["deploy s1 --ref main", "deploy s1 --ref v1.4.2", "deploy s1 --ref 4f2a9c1 --no-wait", "deploy s1 --ref main --hold 30"],
    options: (command) =>
      command
        .requiredOption("--ref <ref>", "a branch, a tag, or a commit (at least seven digits)")
        .addOption(
          new Option("--hold [seconds]", "visitors wait from the switch until the update has ended, each so long at most (60)").argParser(
            wholeNumber,
          ),
        ),
    next: ["rollback s1                  undo it", "deployment cancel 12         call it off while it is staged"],
    waits: true,
    run: async (invocation) => {
      const { client, args, options, progress } = invocation;
      const { deployment, warnings } = await client.call(deploymentRoutes.deploy, {
        params: { website: args[0] },
        input: { revision: options.ref, ...holdOf(options.hold) },
      });
      for (const line of warnings) progress(printable(line));
      return followToEnd(invocation, deployment);
    },
    render: renderDeployment,
    exitCode: hasGoneWrong,
  });
}

function holdOf(hold: number | true | undefined): { holdSeconds?: number } {
  return hold === undefined ? {} : { holdSeconds: hold === true ? MOST_HOLD_SECONDS : hold };
}

function rollback(): Command {
  return declare<[string], { to?: string }, Deployment>({
    usage: "rollback <website>",
    summary: "Go back to the release that was live before the present one; once more, and the present one is live again",
    examples: ["rollback s1", "rollback s1 --to 4f2a9c1"],
    options: (command) => command.option("--to <release>", "to this release instead: the first digits of its commit"),
    next: ["deployment list s1           which releases there were; the branch in the repository stays where it is"],
    waits: true,
    run: async (invocation) => {
      const { client, args, options } = invocation;
      const input = options.to === undefined ? {} : { to: options.to };
      const deployment = await client.call(deploymentRoutes.rollback, { params: { website: args[0] }, input });
      return followToEnd(invocation, deployment);
    },
    render: renderDeployment,
    exitCode: hasGoneWrong,
  });
}

/** With --no-wait it is still under way, and nothing has gone wrong yet. */
function hasGoneWrong({ state }: Deployment): number {
  return state === "failed" || state === "rolled-back" || state === "superseded" ? 1 : 0;
}

function standsAt(release: string | null): string {
  return release === null ? "is as it was" : `still serves ${release.slice(0, 7)}`;
}

/** Follows a deployment that was just asked for, for as long as the caller waits. */
async function followToEnd<A, O>(invocation: Invocation<A, O>, deployment: Deployment): Promise<Deployment> {
  const { wait } = invocation;
  return wait === null ? deployment : follow(invocation, deployment.id, wait.timeoutMs);
}

/** Tells what happens in a deployment until it has ended, or the time is over. */
async function follow<A, O>(
  { client, progress }: Pick<Invocation<A, O>, "client" | "progress">,
  deployment: number,
  timeoutMs = Number.POSITIVE_INFINITY,
): Promise<Deployment> {
  const deadline = performance.now() + timeoutMs;
  const teller = storyTeller(progress);
  const ask = <T>(question: () => Promise<T>): Promise<T> => askPatiently({ progress, timeoutMs: CONTROL_AWAY_MS }, question);
  for (let after = 0; ; ) {
    const { events, isFinal } = await ask(() =>
      client.call(deploymentRoutes.deploymentEvents, { params: { deployment }, input: { after } }),
    );
    for (const event of events) if (event.kind === "deployment") teller.tell(event);
    after += events.length;
    if (isFinal && events.length === 0) return ask(() => client.call(deploymentRoutes.showDeployment, { params: { deployment } }));
    if (performance.now() > deadline)
      throw new Fault("wait.timed-out", `deployment ${deployment} has not ended after ${timeoutMs / 1000} s; it goes on`, {
        next: `boxyard deployment watch ${deployment}`,
      });
    if (events.length > 0) continue;
    teller.beat();
    await sleep(LOOK_EVERY_MS);
  }
}

async function findDeployment(client: Client, given: string): Promise<number> {
  if (!given.startsWith("s")) return idOf(given);
  const newest = (await client.call(deploymentRoutes.listDeployments, { input: { website: given, limit: 1 } })).at(-1);
  if (newest !== undefined) return newest.id;
  throw new Fault("deployment.none", `${given} has no deployment yet`, { next: `push to it: boxyard website show ${given} tells where` });
}

function idOf(text: string): number {
  if (/^\d{1,9}$/.test(text)) return Number(text);
  throw new Fault("input.invalid", `“${text}” is no deployment's number`, { next: "see which there are: boxyard deployment list" });
}

function renderDeployment({
  id,
  website,
  kind,
  caller,
  commit,
  previous,
  state,
  reason,
  acceptedAt,
  finishedAt,
  servers,
}: Deployment): string {
  const facts = renderFacts({
    deployment: String(id),
    website,
    by: caller === null ? kind : `${kind}, asked for by ${caller}`,
    commit,
    before: previous ?? "-",
    state,
    reason: reason ?? "-",
    accepted: acceptedAt,
    finished: finishedAt ?? "-",
  });
  const table = renderTable(servers, [
    { title: "server", show: ({ name }) => name },
    { title: "staged", show: ({ stagedAt }) => stagedAt?.slice(11) ?? "-" },
    { title: "switched", show: ({ switchedAt }) => switchedAt?.slice(11) ?? "-" },
    { title: "clock", show: ({ switchedAt, clockOffsetMs }) => (switchedAt === null ? "-" : aheadBy(clockOffsetMs)) },
    { title: "error", show: ({ error }) => error ?? "" },
  ]);
  return `${facts}\n\n${table}`;
}

/** How a server's clock, by which it says when it switched, stood to control's. */
function aheadBy(offsetMs: number | null): string {
  if (offsetMs === null) return "unknown";
  return `${offsetMs < 0 ? "" : "+"}${offsetMs.toFixed(1)} ms`;
}
