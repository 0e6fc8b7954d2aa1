import { readFile } from "node:fs/promises";
import { resolve } from "node:path";
import { execa } from "execa";
import type { z } from "zod";
import { type Client, connect } from "#cli/client.ts";
import { api } from "#contract/api/routes.ts";

/** The yard that the end-to-end suite makes for itself and removes. */
export const TEST_YARD = process.env["BOXYARD_TEST_YARD"] ?? "test";

/** The checkout. */
const ROOT = resolve(import.meta.dirname, "../..");

/** The scripts of this checkout; those of another one, to try the tests on a yard that it has made. */
export const BIN = process.env["BOXYARD_TEST_BIN"] ?? `${ROOT}/bin`;

export interface CommandResult {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a script of bin/ as a person would, from another directory. */
export async function bin(script: string, args: readonly string[], timeoutMs = 600_000): Promise<CommandResult> {
  const result = await execa(`${BIN}/${script}`, args, { reject: false, cwd: "/", timeout: timeoutMs, stdin: "ignore" });
  return { exitCode: result.exitCode ?? -1, stdout: result.stdout, stderr: `${result.stderr}${result.timedOut ? "\n[timed out]" : ""}` };
}

/** Runs the CLI on the test yard; never throws. */
export function boxyard(...args: readonly string[]): Promise<CommandResult> {
  return bin("boxyard", ["--yard", TEST_YARD, ...args]);
}

/** Runs the CLI with --json and gives what it printed; throws with its words when it fails. */
export async function boxyardJson<T>(...args: readonly string[]): Promise<T> {
  const result = await boxyard(...args, "--json");
  if (result.exitCode !== 0) throw new Error(`boxyard ${args.join(" ")} exited ${result.exitCode}: ${result.stderr}${result.stdout}`);
  return JSON.parse(result.stdout) as T;
}

type Output<K extends keyof typeof api> = z.output<(typeof api)[K]["output"]>;
export type StatusJson = Output<"status">;
export type WebsiteJson = Output<"showWebsite">;
export type ServerJson = Output<"listServers">[number];
export type DeploymentJson = Output<"showDeployment">;

/** What tests do again and again is asked of the API: as a command it would take a process, and most of a second of a processor. */
async function ask<T>(question: (client: Client) => Promise<T>): Promise<T> {
  return question(await connect(TEST_YARD));
}

export const status = (): Promise<StatusJson> => ask((client) => client.call(api.status));
export const showWebsite = (id: string): Promise<WebsiteJson> => ask((client) => client.call(api.showWebsite, { params: { website: id } }));
export const listServers = (): Promise<ServerJson[]> => ask((client) => client.call(api.listServers));
/** All of a website's that a test may have made, oldest first. */
export const listDeployments = (website: string): Promise<DeploymentJson[]> =>
  ask((client) => client.call(api.listDeployments, { input: { website, limit: 1_000 } }));

/** The newest deployment of a website. */
export async function lastDeployment(id: string): Promise<DeploymentJson> {
  const last = (await listDeployments(id)).at(-1);
  if (last === undefined) throw new Error(`${id} has no deployment`);
  return last;
}

/** Deploys a commit that the repository has, and follows it to its end; throws when it did not go live. */
export function deployCommit(website: string, commit: string): Promise<void> {
  return ask(async (client) => {
    const { deployment } = await client.call(api.deploy, { params: { website }, input: { revision: commit } });
    const ended = await eventually(`deployment ${deployment.id} to end`, async () => {
      const now = await client.call(api.showDeployment, { params: { deployment: deployment.id } });
      return now.finishedAt !== null && now;
    });
    if (ended.state !== "live") throw new Error(`deployment ${ended.id} of ${website} is ${ended.state}: ${ended.reason}`);
  });
}

/** Waits until a question is answered with something true; a test that waits too long fails with what was last seen. */
export async function eventually<T>(what: string, ask: () => Promise<T | null | undefined | false>, timeoutMs = 60_000): Promise<T> {
  const deadline = Date.now() + timeoutMs;
  let last: unknown = "nothing yet";
  while (Date.now() < deadline) {
    try {
      const answer = await ask();
      if (answer) return answer;
    } catch (thrown) {
      last = thrown;
    }
    await new Promise((done) => setTimeout(done, 300));
  }
  throw new Error(`waited ${timeoutMs / 1000} s for ${what}`, { cause: last });
}

/** Waits until every server of a website says that it serves the website's release, and gives it: heartbeats may come after a deployment's end. */
export async function releaseOnAll(id: string): Promise<string> {
  return eventually(
    `the servers of ${id} to serve its release`,
    async () => {
      const { release, servers } = await showWebsite(id);
      const others = servers.filter((server) => server.release !== release);
      if (others.length > 0) throw new Error(`${release} is live, and ${JSON.stringify(others)}`);
      return release;
    },
    10_000,
  );
}

/** What the operator's machine knows of the yard. */
export async function yardState(): Promise<{ caPem: string }> {
  return JSON.parse(await readFile(`/var/lib/boxyard/yards/${TEST_YARD}/yard.json`, "utf8"));
}
