import type { RequestAnswer, RequestSummary } from "#contract/request.ts";
import { inServer } from "./servers.ts";
import { boxyard, boxyardJson, eventually, listServers } from "./yard.ts";

export interface Asked {
  readonly request: string;
  readonly answers: readonly RequestAnswer[];
  readonly summary: RequestSummary;
}

/** `boxyard do … --json`, whatever its exit status. */
export async function ask(...args: string[]): Promise<Asked> {
  const { stdout, stderr } = await boxyard("do", ...args, "--json");
  if (stdout === "") throw new Error(stderr);
  return JSON.parse(stdout) as Asked;
}

/** Each server with how it answered, in the order of names. */
export function named({ answers }: Asked): string[] {
  return answers.map(({ server, fault }) => `${server} ${fault?.code ?? "answers"}`).sort();
}

interface Heard {
  readonly name: string;
  readonly heardAt: string | null;
  readonly heardSince: string | null;
}

/**
 * How long after the end of a fault each server was back in the registry, as the registry itself has it by its heartbeats:
 * at most 0 when it has never left. Waits until every server has been heard of since.
 */
export function returns(endedAtMs: number, timeoutMs?: number): Promise<Record<string, number>> {
  const heardSinceThen = async (): Promise<Record<string, number> | null> => {
    const servers = await boxyardJson<Heard[]>("find", "all");
    if (servers.some(({ heardAt, heardSince }) => heardSince === null || heardAt === null || Date.parse(heardAt) < endedAtMs)) return null;
    return Object.fromEntries(servers.map(({ name, heardSince }) => [name, Date.parse(heardSince ?? "") - endedAtMs]));
  };
  return eventually("every server to be heard of", heardSinceThen, timeoutMs);
}

/** Sends a signal to the agent's process alone. */
export async function signalAgent(server: string, signal: string): Promise<void> {
  await inServer(server, ["systemctl", "kill", "--kill-whom=main", `--signal=${signal}`, "boxyard-agent"]);
}

/** Waits until a server is ready. */
export async function isBack(server: string): Promise<void> {
  await eventually(`${server} to be back`, async () =>
    (await listServers()).find(({ name, state }) => name === server && state === "ready"),
  );
}

/** Waits until every server of the yard is ready. */
export async function allAreBack(timeoutMs?: number): Promise<void> {
  await eventually("all servers to be back", async () => (await listServers()).every(({ state }) => state === "ready"), timeoutMs);
}

/** Waits until every server that a cluster needs is ready: its own, and those of the whole yard. */
export async function clusterIsBack(cluster: string, timeoutMs?: number): Promise<void> {
  await eventually(
    `${cluster} to be back`,
    async () =>
      (await listServers()).every((server) => server.state === "ready" || (server.cluster !== null && server.cluster !== cluster)),
    timeoutMs,
  );
}
