import { Fault } from "#base/fault.ts";
import { endRequest } from "#contract/actions/request.ts";
import type { JobEvent } from "#contract/events.ts";
import type { Job } from "#contract/job.ts";
import type { ServerName } from "#contract/names.ts";
import type { ControlFabric } from "#fabric/fabric.ts";

type Fabric = Pick<ControlFabric, "listJobs" | "readEvents" | "registry" | "onRegistryChange" | "askAll">;

/** Every job of the last 30 days, the oldest first. */
export async function listJobs(fabric: Fabric): Promise<Job[]> {
  const byJob = Map.groupBy(await fabric.listJobs(), ({ job }) => job);
  return [...byJob.values()].map((events) => describe(fabric, events)).sort((a, b) => a.startedAt.localeCompare(b.startedAt));
}

/** Fault "job.unknown". */
export async function findJob(fabric: Fabric, id: string): Promise<Job> {
  const found = (await listJobs(fabric)).find(({ job }) => job === id);
  if (found !== undefined) return found;
  throw new Fault("job.unknown", `there is no job ${id}, or it is older than 30 days`, { next: "see which there are: boxyard jobs" });
}

/** What servers tell of a job, from its beginning until it is over on all of them, or those where it runs are silent. */
export async function* watchJob(fabric: Fabric, id: string, gone: AbortSignal): AsyncIterable<JobEvent> {
  const { servers } = await findJob(fabric, id);
  const running = new Set(servers.filter(({ state }) => state === "running").map(({ server }) => server));
  const canGoOn = (): boolean => [...running].some((server) => fabric.registry().has(server));
  const over = new AbortController();
  const lookAgain = (): void => void (canGoOn() || over.abort());
  const follow = canGoOn();
  const unwatch = follow ? fabric.onRegistryChange(lookAgain) : null;
  try {
    for await (const { event } of fabric.readEvents({ job: id, follow }, AbortSignal.any([gone, over.signal]))) {
      if (event.kind !== "job") continue;
      yield event;
      if (event.state !== "running") running.delete(event.server);
      if (follow) lookAgain();
    }
  } finally {
    unwatch?.();
  }
}

/** Ends a job wherever it runs; gives the servers that have been told, and those that could not be. */
export async function cancelJob(fabric: Fabric, id: string): Promise<{ ended: ServerName[]; failed: ServerName[] }> {
  const { servers } = await findJob(fabric, id);
  const running = servers.filter(({ state }) => state === "running").map(({ server }) => server);
  const answers = await fabric.askAll(endRequest, running, { request: id });
  const [failed, ended] = [answers.filter(({ fault }) => fault !== undefined), answers.filter(({ fault }) => fault === undefined)];
  return { ended: ended.map(({ server }) => server), failed: failed.map(({ server }) => server) };
}

function describe(fabric: Fabric, events: readonly JobEvent[]): Job {
  const [first] = events;
  if (first === undefined) throw new Error("a job without events");
  const { job, action, caller } = first;
  const startedAt = events.map((event) => event.startedAt).sort()[0] ?? first.startedAt;
  const servers = events.map(({ server, state, at, line, result }) => ({
    server,
    state,
    at,
    line,
    isSilent: state === "running" && !fabric.registry().has(server),
    ...(result === undefined ? {} : { result }),
  }));
  servers.sort((a, b) => a.server.localeCompare(b.server, "en", { numeric: true }));
  return { job, action, caller, startedAt, servers, isOver: servers.every(({ state }) => state !== "running") };
}
