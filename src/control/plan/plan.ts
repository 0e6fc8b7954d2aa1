import type { RoleSpecs, ServerPlan } from "#contract/spec/server.ts";
import { planBox } from "./box.ts";
import { planBuilder } from "./builder.ts";
import { planCache } from "./cache.ts";
import { planDatabase } from "./database.ts";
import { planEdge } from "./edge.ts";
import { planGit } from "./git.ts";
import type { PlannedServer, YardRows } from "./rows.ts";
import { planShell } from "./shell.ts";
import { nameAndAddress, Yard } from "./yard.ts";

/** The yard's rows as one plan per server. Pure: the same rows, in any order, give the same plans. */
export function planYard(rows: YardRows): ServerPlan[] {
  const yard = new Yard(rows);
  return yard.servers().map((server) => ({
    yard: rows.yard,
    server: server.name,
    address: server.address,
    neighbours: planNeighbours(yard, server),
    roles: planRoles(yard, server),
    brokers: [...rows.brokers],
    policy: rows.policy,
  }));
}

function planRoles(yard: Yard, server: PlannedServer): RoleSpecs {
  const { roles, cluster } = server;
  const plans: RoleSpecs = {};
  if (roles.includes("control")) plans.control = {};
  if (roles.includes("edge")) plans.edge = planEdge(yard);
  if (roles.includes("git")) plans.git = planGit(yard, server);
  if (roles.includes("database")) plans.database = planDatabase(yard);
  if (roles.includes("builder")) {
    const builder = planBuilder(yard, server);
    if (builder !== undefined) plans.builder = builder;
  }
  if (roles.includes("broker") && yard.rows.broker !== null) plans.broker = yard.rows.broker;
  if (cluster === null) return plans;
  if (roles.includes("cache")) plans.cache = planCache(yard, cluster);
  if (roles.includes("box")) plans.box = planBox(yard, cluster);
  if (roles.includes("shell")) plans.shell = planShell(yard, cluster, server);
  return plans;
}

/**
 * A cluster's servers know each other and the backends; backends know each other. Nobody hears of another cluster, or of a
 * builder, which comes and goes.
 */
function planNeighbours(yard: Yard, server: PlannedServer): ServerPlan["neighbours"] {
  const known = yard
    .servers()
    .filter(
      (other) =>
        other.state === "present" &&
        other.name !== server.name &&
        !other.roles.includes("builder") &&
        (other.cluster === null || (other.cluster === server.cluster && !server.roles.includes("builder"))),
    );
  return known.map(nameAndAddress);
}
