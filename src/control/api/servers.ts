import { Fault } from "#base/fault.ts";
import type { Server } from "#contract/api/servers.ts";
import { ABSENCE } from "#contract/event-line.ts";
import type { AbsenceCause } from "#contract/events.ts";
import type { ServerStatus } from "#contract/status.ts";
import * as resolve from "../requests/resolve.ts";
import { isMadeByHost, listServerRows, requireServer, type ServerRow } from "../store/servers.ts";
import { listGenerations } from "../store/specs.ts";
import { wrongClock } from "../wrong-clock.ts";
import type { ApiContext } from "./context.ts";
import type { Handler } from "./handler.ts";

/** Every server as the API shows it. */
export async function describeServers({ store, fabric, busKeys, absenceOf, behindMs, isRestarting }: ApiContext): Promise<Server[]> {
  const [rows, generations, keys] = await Promise.all([listServerRows(store), listGenerations(store), busKeys.current()]);
  return rows.map((row) =>
    describeServer({
      row,
      targetGeneration: generations.get(row.name) ?? 0,
      status: fabric.registry().get(row.name),
      absence: absenceOf(row.name),
      behindMs: behindMs(row.name),
      isRestarting: isRestarting(row.name),
      isCutOff: row.enrolment !== null && !keys.has(row.name),
      clockFault: wrongClock(fabric, row.name),
    }),
  );
}

/** A server without a fault that comes no further for so long will not by itself. */
const STUCK_MS = 120_000;

function behindOf(generation: number, { row, targetGeneration, behindMs }: Known): Pick<Server, "state" | "reason"> {
  const where = `at generation ${generation} of ${targetGeneration}`;
  if (behindMs < STUCK_MS) return { state: "converging", reason: where };
  const look = `see boxyard do log.tail --service boxyard-agent --target ${row.name}`;
  return { state: "failed", reason: `${where} for ${Math.round(behindMs / 1000)} s, without a fault: ${look}` };
}

/** What is wrong with servers, a line each. What is being made, changed or removed is not. */
export function serverTroubles(servers: readonly Server[]): string[] {
  return servers
    .filter(({ state }) => state === "unreachable" || state === "failed" || state === "fenced")
    .map(({ name, state, reason }) => `${name} is ${state}: ${reason}`);
}

/** A backend that websites need; control servers are there for each other, and one that is away keeps nobody waiting. */
export function isNeededBackend({ cluster, roles }: Pick<Server, "cluster" | "roles">): boolean {
  return cluster === null && !roles.includes("control");
}

export const listServers: Handler<"listServers"> = (context) => describeServers(context);

export const findServers: Handler<"findServers"> = async (context, { input: { target } }) => {
  const { fabric } = context;
  const [found, servers] = await Promise.all([resolve.findServers(context, target), describeServers(context)]);
  const described = new Map(servers.map((server) => [server.name, server]));
  return found.flatMap(({ row: { name }, websites, view }) => {
    const server = described.get(name);
    if (server === undefined) return [];
    const heard = { heardAt: fabric.lastHeard(name), heardSince: fabric.heardSince(name) };
    return [{ ...server, websites: [...websites], facts: { ...view.facts }, ...heard }];
  });
};

export const revokeServer: Handler<"revokeServer"> = async ({ store, busKeys }, { params: { server: name } }) => {
  const server = await requireServer(store, name);
  if (isMadeByHost(server))
    throw new Fault("server.needed", `${name} carries the control plane: cut off, it could not be readmitted`, {
      next: "renew its key instead: boxyard server renew",
    });
  await busKeys.revoke(name);
  return { server: name };
};

export const readmitServer: Handler<"readmitServer"> = async ({ store, readmit }, { params: { server: name } }) => {
  await readmit(await requireServer(store, name));
  return { server: name };
};

export const renewServer: Handler<"renewServer"> = async ({ busKeys }, { params: { server } }) => {
  await busKeys.renew(server);
  return { server };
};

interface Known {
  readonly row: ServerRow;
  readonly targetGeneration: number;
  readonly status: ServerStatus | undefined;
  readonly absence: AbsenceCause | null;
  readonly behindMs: number;
  readonly isRestarting: boolean;
  readonly clockFault: Fault | null;
  /** Whether none of its keys counts. */
  readonly isCutOff: boolean;
}

function describeServer(known: Known): Server {
  const { row, targetGeneration, status } = known;
  const { name, roles, cluster, address } = row;
  const { generation = 0, restarts = [] } = status ?? {};
  return { name, roles: [...roles], cluster, address, generation, targetGeneration, restarts, ...stateOf(known) };
}

function stateOf(known: Known): Pick<Server, "state" | "reason"> {
  const { state, reason } = stateBesideFence(known);
  const { fence } = known.row;
  if (fence === null || state === "deleting") return { state, reason };
  if (state === "ready" && known.isRestarting)
    return { state: "converging", reason: "it restarts for a change, and gets no visitors meanwhile" };
  if (state !== "ready") return { state, reason: `${reason}; no visitors are sent to it` };
  return { state: "fenced", reason: `no visitors are sent to it, it is about to return: ${fence}` };
}

function stateBesideFence(known: Known): Pick<Server, "state" | "reason"> {
  const { row, targetGeneration, status, absence, clockFault, isCutOff } = known;
  if (row.state !== "present")
    return { state: "deleting", reason: row.state === "leaving" ? "its caches stop using it" : "it is being removed" };
  if (isCutOff) return { state: "unreachable", reason: `its credentials were revoked: boxyard server readmit ${row.name}` };
  if (absence !== null) return { state: "unreachable", reason: ABSENCE[absence] };
  if (status === undefined) {
    if (row.joined_at === null) return { state: "creating", reason: "it is being created" };
    return { state: "unreachable", reason: "nothing was heard of it yet" };
  }
  if (clockFault !== null) return { state: "failed", reason: clockFault.message };
  const [fault] = status.faults;
  if (fault !== undefined) return { state: "failed", reason: `${fault.resource}: ${fault.message}` };
  if (status.generation < targetGeneration || targetGeneration === 0) return behindOf(status.generation, known);
  return { state: "ready", reason: null };
}
