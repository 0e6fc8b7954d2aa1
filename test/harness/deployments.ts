import { type Clock, systemClock } from "#base/clock.ts";
import { silentLog } from "#base/log.ts";
import { loop } from "#base/loop.ts";
import { until } from "#base/retry.ts";
import type { Deployment } from "#contract/deployment.ts";
import type { Role, ServerName, WebsiteId } from "#contract/names.ts";
import type { Push } from "#contract/push.ts";
import type { Timing } from "#control/deploy/context.ts";
import { type Coordinator, startCoordinator } from "#control/deploy/coordinator.ts";
import { isFinal } from "#control/deploy/states.ts";
import { Publisher } from "#control/publish/publish.ts";
import { Rotation } from "#control/rotation/rotation.ts";
import { listDeployments, listUnsettled } from "#control/store/deployments.ts";
import type { Store } from "#control/store/schema.ts";
import type { ControlFabric } from "#fabric/fabric.ts";
import { pushWith } from "./push.ts";

/** Times of a yard where everything is near and nobody waits for long. */
const QUICK: Timing = {
  lead: { firstMs: 8, shortestMs: 5, longestMs: 20 },
  appearMs: 30,
  fenceMs: 15,
  latestMs: 60,
  answerMs: 30,
  verifyMs: 40,
  hookLookMs: 2,
  hookAwayMs: 30,
  holdMs: 2_000,
  holdAgainMs: 20,
  builderMs: 60,
  againMs: 3,
  retryMs: 5,
  settleMs: 20,
  sweepsMs: [3, 10],
};

/** Starts a coordinator with quick times, over a planner and a rotation like a control service's. */
export function startQuickly(store: Store, fabric: ControlFabric, clock: Clock = systemClock): Coordinator {
  const log = silentLog();
  const publisher = new Publisher({
    store,
    fabric,
    yard: "trial",
    defaultCertificate: { chainPem: "", keyPem: "" },
    brokers: [],
    broker: null,
  });
  const plan = async (): Promise<void> => {
    await publisher.plan();
    await publisher.deliver();
  };
  const rotation = new Rotation({ store, fabric, log, plan, timing: { confirmMs: 60, lookMs: 10, againMs: 3 }, clock });
  const planning = loop({ everyMs: 1_000, work: plan, onFault: () => undefined, clock });
  planning.start();
  rotation.start();
  const builders = { ensure: async ({ website }: { readonly website: WebsiteId }) => `${website}x`, retire: async () => undefined };
  const coordinator = startCoordinator({
    store,
    fabric,
    log,
    rotation,
    builders,
    onRowsChanged: () => planning.nudge(),
    timing: QUICK,
    clock,
  });
  return {
    ...coordinator,
    stop: async () => {
      await Promise.all([coordinator.stop(), planning.stop(), rotation.stop()]);
    },
  };
}

/** Adds a cluster of servers, named by their roles, and a website on it with a database. */
export async function addWebsite(
  store: Store,
  options: { website: WebsiteId; cluster: string; servers: Record<ServerName, Role> },
): Promise<void> {
  const { website, cluster, servers } = options;
  await store.insertInto("cluster").values({ id: cluster }).execute();
  const number = Number(cluster.slice(1));
  for (const [index, [name, role]] of Object.entries(servers).entries()) {
    const row = { name, roles: JSON.stringify([role]), cluster, address: `10.0.${number}.${index + 10}`, enrolment: null, host_key: null };
    await store
      .insertInto("server")
      .values(row as never)
      .execute();
  }
  const database = { name: `db${website.slice(1)}`, website, password: "x" };
  const values = { id: website, cluster, environment: "production", branch: "main", hash_salt: "x", release: null };
  await store.insertInto("website").values(values).execute();
  await store.insertInto("database").values(database).execute();
}

/** Adds the server that has all databases. */
export function addDatabaseServer(store: Store): Promise<void> {
  return addBackend(store, "db1", "database", "10.0.0.9");
}

/** Adds the server that has all repositories. */
export function addGitServer(store: Store): Promise<void> {
  return addBackend(store, "git1", "git", "10.0.0.8");
}

/** Adds the edge that visitors of all clusters come through. */
export function addEdge(store: Store): Promise<void> {
  return addBackend(store, "edge1", "edge", "10.0.0.7");
}

async function addBackend(store: Store, name: ServerName, role: Role, address: string): Promise<void> {
  const row = { name, roles: JSON.stringify([role]), cluster: null, address, enrolment: null, host_key: null };
  await store
    .insertInto("server")
    .values(row as never)
    .execute();
}

/** A push of a website; `nth` makes its commit and its moment. */
export function pushOf(website: WebsiteId, nth: number): Push {
  const commit = `${website.slice(1)}${String(nth).padStart(3, "0")}`.padEnd(40, "0");
  const acceptedAt = `2026-11-23T08:00:00.${String(nth).padStart(6, "0")}Z`;
  return pushWith({ id: `${website}-${nth}`, website, commit, acceptedAt });
}

/** Waits until so many deployments have ended and their pushes are settled; oldest first. */
export async function ended({ store, clock }: { readonly store: Store; readonly clock: Clock }, amount: number): Promise<Deployment[]> {
  return until(
    `${amount} deployments to end`,
    async () => {
      const all = await listDeployments(store, { limit: 1000 });
      const isOver = all.length >= amount && all.every((one) => isFinal(one.state)) && (await listUnsettled(store)).length === 0;
      return isOver ? all : null;
    },
    { timeoutMs: 60_000, everyMs: 30, clock },
  );
}
