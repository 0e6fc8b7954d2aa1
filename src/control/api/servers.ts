import { Fault } from "#base/fault.ts";
import { ping as pingAction } from "#contract/actions/server.ts";
import type { Server } from "#contract/api.ts";
import { Role } from "#contract/names.ts";
import type { ServerStatus } from "#contract/status.ts";
import { listServerRows, type ServerRow } from "../store/servers.ts";
import { listGenerations } from "../store/specs.ts";
import { readWebsite } from "../store/websites.ts";
import type { ApiContext } from "./context.ts";
import type { Handler } from "./handler.ts";

/** Every server as the API shows it. */
export async function describeServers({ store, fabric }: ApiContext): Promise<Server[]> {
  const [rows, generations] = await Promise.all([listServerRows(store), listGenerations(store)]);
  return rows.map((row) => describeServer(row, generations.get(row.name) ?? 0, fabric.registry().get(row.name)));
}

export const listServers: Handler<"listServers"> = (context) => describeServers(context);

export const ping: Handler<"ping"> = async (context, { input: { target, timeoutMs } }) => {
  const servers = await resolveTarget(context, target);
  const answers = await context.fabric.askAll(pingAction, servers, {}, { timeoutMs });
  return answers.map(({ server, durationMs, fault }) => ({ server, durationMs, error: fault?.message ?? null }));
};

function describeServer(row: ServerRow, targetGeneration: number, status: ServerStatus | undefined): Server {
  const { name, roles, cluster, address } = row;
  const generation = status?.generation ?? 0;
  return { name, roles: [...roles], cluster, address, generation, targetGeneration, ...stateOf(row, targetGeneration, status) };
}

function stateOf(row: ServerRow, targetGeneration: number, status: ServerStatus | undefined): Pick<Server, "state" | "reason"> {
  if (row.state !== "present")
    return { state: "deleting", reason: row.state === "leaving" ? "its caches stop using it" : "it is being removed" };
  if (status === undefined) {
    // Control's own server is enrolled by setup, the others when they are created.
    if (row.enrolment === null && !row.roles.includes("control")) return { state: "creating", reason: "it is being created" };
    return { state: "unreachable", reason: "no heartbeat: it is starting, off, or cut off from the broker" };
  }
  const [fault] = status.faults;
  if (fault !== undefined) return { state: "failed", reason: `${fault.resource}: ${fault.message}` };
  if (status.generation < targetGeneration || targetGeneration === 0)
    return { state: "converging", reason: `at generation ${status.generation} of ${targetGeneration}` };
  return { state: "ready", reason: null };
}

/** A server, a role, a cluster or a website; everything when there is no target. */
async function resolveTarget(context: ApiContext, target: string | undefined): Promise<string[]> {
  const servers = (await listServerRows(context.store)).filter((server) => server.state === "present");
  if (target === undefined || target === "all") return servers.map((server) => server.name);
  if (/^s\d+$/.test(target)) {
    const { cluster } = await readWebsite(context.store, target);
    return servers.filter((server) => server.cluster === cluster).map((server) => server.name);
  }
  const isRole = Role.safeParse(target).success;
  const found = servers.filter(
    (server) => server.name === target || server.cluster === target || (isRole && server.roles.includes(target as Role)),
  );
  if (found.length > 0) return found.map((server) => server.name);
  throw new Fault("target.unknown", `“${target}” is no server, role, cluster or website of this yard`, {
    next: "see which there are: boxyard server list",
  });
}
