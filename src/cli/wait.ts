import { setTimeout as sleep } from "node:timers/promises";
import { Fault } from "#base/fault.ts";
import { api, type Cluster, type Website } from "#contract/api.ts";
import type { Client } from "./client.ts";

export interface WaitOptions {
  readonly progress: (line: string) => void;
  readonly timeoutMs?: number;
}

const DEFAULT_TIMEOUT_MS = 300_000;
const LOOK_EVERY_MS = 300;

/** What is still missing, in words; null when the wait is over. */
type Missing = string | null;

/** Waits until every server that a cluster needs is ready. */
export function clusterReady(client: Client, cluster: string, options: WaitOptions): Promise<Cluster> {
  return waitFor(`cluster ${cluster}`, options, async () => {
    const now = await client.call(api.showCluster, { params: { cluster } });
    const waiting = now.servers.filter((server) => server.state !== "ready").map((server) => `${server.name} (${server.state})`);
    return { value: now, missing: now.isReady ? null : waiting.join(", ") || "the backends" };
  });
}

/** Waits until every server that a website concerns has converged to it. */
export function websiteReady(client: Client, website: string, options: WaitOptions): Promise<Website> {
  return waitFor(`website ${website}`, options, async () => {
    const now = await client.call(api.showWebsite, { params: { website } });
    return { value: now, missing: now.isReady ? null : await unreadyServers(client) };
  });
}

/** Waits until no server of the yard is behind its rows. */
export function yardReady(client: Client, options: WaitOptions): Promise<void> {
  return waitFor("the yard", options, async () => ({ value: undefined, missing: await unreadyServers(client) }));
}

/** Waits until a cluster's servers are gone. */
export function clusterGone(client: Client, cluster: string, options: WaitOptions): Promise<void> {
  return waitFor(`cluster ${cluster} to be gone`, options, async () => {
    const left = (await client.call(api.listServers)).filter((server) => server.cluster === cluster).map((server) => server.name);
    return { value: undefined, missing: left.length === 0 ? null : left.join(", ") };
  });
}

async function unreadyServers(client: Client): Promise<Missing> {
  const unready = (await client.call(api.listServers)).filter((server) => server.state !== "ready");
  return unready.length === 0
    ? null
    : unready.map((server) => `${server.name} (${server.state}${server.state === "failed" ? `: ${server.reason}` : ""})`).join(", ");
}

async function waitFor<T>(
  what: string,
  { progress, timeoutMs = DEFAULT_TIMEOUT_MS }: WaitOptions,
  look: () => Promise<{ value: T; missing: Missing }>,
): Promise<T> {
  const deadline = performance.now() + timeoutMs;
  let told: Missing = null;
  for (;;) {
    const { value, missing } = await look();
    if (missing === null) return value;
    if (missing !== told) progress(`waiting for ${missing}`);
    told = missing;
    if (performance.now() > deadline)
      throw new Fault("wait.timed-out", `${what} is not ready after ${timeoutMs / 1000} s, still waiting for ${missing}`, {
        next: "boxyard server list shows why; the work goes on",
      });
    await sleep(LOOK_EVERY_MS);
  }
}
