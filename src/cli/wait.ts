import { type Clock, systemClock } from "#base/clock.ts";
import { Fault, isFault } from "#base/fault.ts";
import { type Cluster, clusterRoutes } from "#contract/api/clusters.ts";
import { STANDBY } from "#contract/api/leader.ts";
import { type Server, serverRoutes } from "#contract/api/servers.ts";
import { type Website, websiteRoutes } from "#contract/api/websites.ts";
import type { Client } from "./client.ts";

export interface WaitOptions {
  /** Told what is waited for, whenever that changes. */
  readonly progress: (line: string) => void;
  /** 300 s by default. */
  readonly timeoutMs?: number;
  readonly clock?: Clock;
}

/** How long a command waits for the yard by default. */
export const WAIT_MS = 300_000;
const LOOK_EVERY_MS = 300;

/** Waits until a cluster has the servers that it should have, and all of them and the backends are ready. */
export function clusterReady(client: Client, cluster: string, options: WaitOptions): Promise<Cluster> {
  return waitFor(`cluster ${cluster} is not ready`, options, async () => {
    const value = await client.call(clusterRoutes.showCluster, { params: { cluster } });
    return { value, missing: value.isReady ? null : await describeUnready(client, ofClusterOrBackend(cluster)) };
  });
}

/** Waits until every server that a website concerns has converged to it. */
export function websiteReady(client: Client, website: string, options: WaitOptions): Promise<Website> {
  return waitFor(`website ${website} is not ready`, options, async () => {
    const value = await client.call(websiteRoutes.showWebsite, { params: { website } });
    return { value, missing: value.isReady ? null : await describeUnready(client, ofClusterOrBackend(value.cluster)) };
  });
}

/** Waits until the servers that carried a deleted website, and the backends, have forgotten it. */
export function websiteGone(client: Client, { id, cluster }: Website, options: WaitOptions): Promise<void> {
  const mayKnowIt = (server: Server): boolean => server.state !== "deleting" && ofClusterOrBackend(cluster)(server);
  return waitFor(`website ${id} is not gone everywhere`, options, async () => {
    const unready = unreadyOf(await client.call(serverRoutes.listServers), mayKnowIt);
    return { value: undefined, missing: unready.length === 0 ? null : listNames(unready) };
  });
}

/** Waits until no server of the yard is behind its rows, or has something to restart for them. */
export function yardReady(client: Client, options: WaitOptions): Promise<void> {
  return waitFor(`yard ${client.yard} is not ready`, options, async () => {
    const servers = await client.call(serverRoutes.listServers);
    const unready = unreadyOf(servers, () => true);
    const waiting = servers.filter(({ state, restarts }) => state === "ready" && restarts.length > 0);
    const missing = [
      unready.length === 0 ? [] : listNames(unready),
      waiting.map(({ name, restarts }) => `${name} (to restart ${restarts.join(", ")})`),
    ];
    return { value: undefined, missing: missing.flat().join(", ") || null };
  });
}

/** Waits until a deleted cluster's servers are gone and the backends have forgotten them. */
export function clusterGone(client: Client, cluster: string, options: WaitOptions): Promise<void> {
  return waitFor(`cluster ${cluster} is not gone`, options, async () => {
    const servers = await client.call(serverRoutes.listServers);
    const left = servers.filter((server) => server.cluster === cluster);
    const unready = unreadyOf(servers, isBackend);
    return { value: undefined, missing: left.length + unready.length === 0 ? null : listNames([...left, ...unready]) };
  });
}

/** Asks again while control does not answer, for as long as given; for questions that may be repeated. */
export async function askPatiently<T>(
  { progress, timeoutMs = WAIT_MS, clock = systemClock }: WaitOptions,
  ask: () => Promise<T>,
): Promise<T> {
  const deadline = clock.elapsedMs() + timeoutMs;
  for (let isTold = false; ; isTold = true) {
    try {
      return await ask();
    } catch (thrown) {
      if (!isAway(thrown) || clock.elapsedMs() > deadline) throw thrown;
      if (!isTold) progress(ASKING_AGAIN);
      await clock.sleep(LOOK_EVERY_MS);
    }
  }
}

/**
 * Reads on when control is away in the middle of a stream, for as long as that may be: until the stream ends, or the program
 * is ended. `open` gives what has not been read yet. What never answered is not asked again.
 */
export async function* readPatiently<T>(
  { progress, clock = systemClock }: Pick<WaitOptions, "progress" | "clock">,
  open: () => AsyncIterable<T>,
): AsyncIterable<T> {
  let hasBegun = false;
  for (let isTold = false; ; isTold = true) {
    try {
      for await (const line of open()) {
        [hasBegun, isTold] = [true, false];
        yield line;
      }
      return;
    } catch (thrown) {
      hasBegun ||= isFault(thrown, BROKEN_OFF);
      if (!hasBegun || !isAway(thrown)) throw thrown;
      if (!isTold) progress(ASKING_AGAIN);
      await clock.sleep(LOOK_EVERY_MS);
    }
  }
}

const BROKEN_OFF = "control.broken-off";
const ASKING_AGAIN = "control does not answer, asking again";

/** Whether control may answer again by itself: it is stopped, restarted, or taken over by another server. */
function isAway(thrown: unknown): boolean {
  return ["control.unreachable", BROKEN_OFF, STANDBY].some((code) => isFault(thrown, code));
}

type Wanted = (server: Server) => boolean;

function ofClusterOrBackend(cluster: string): Wanted {
  return (server) => server.cluster === cluster || isBackend(server);
}

/** Brokers beside control's own are there for each other: one that is away keeps nobody waiting. */
function isBackend({ cluster, roles }: Server): boolean {
  return cluster === null && roles.some((role) => role !== "broker");
}

/** Never null: between the two answers the last server may have become ready, and the next look will tell. */
async function describeUnready(client: Client, isWanted: Wanted): Promise<string> {
  return listNames(unreadyOf(await client.call(serverRoutes.listServers), isWanted)) || "the last server";
}

function unreadyOf(servers: readonly Server[], isWanted: Wanted): Server[] {
  return servers.filter((server) => isWanted(server) && server.state !== "ready");
}

function listNames(servers: readonly Server[]): string {
  return servers
    .map(({ name, state, reason }) => `${name} (${state}${state === "failed" && reason !== null ? `: ${reason.split("\n")[0]}` : ""})`)
    .join(", ");
}

async function waitFor<T>(
  notReady: string,
  options: WaitOptions,
  look: () => Promise<{ readonly value: T; readonly missing: string | null }>,
): Promise<T> {
  const { progress, timeoutMs = WAIT_MS, clock = systemClock } = options;
  const deadline = clock.elapsedMs() + timeoutMs;
  let told: string | null = null;
  for (;;) {
    const { value, missing } = await askPatiently({ progress, timeoutMs: deadline - clock.elapsedMs(), clock }, look);
    if (missing === null) return value;
    if (missing !== told) progress(`waiting for ${missing}`);
    told = missing;
    if (clock.elapsedMs() > deadline)
      throw new Fault("wait.timed-out", `${notReady} after ${timeoutMs / 1000} s: still waiting for ${missing}`, {
        next: "the yard goes on with it; see why it takes so long: boxyard server list",
      });
    await clock.sleep(LOOK_EVERY_MS);
  }
}
