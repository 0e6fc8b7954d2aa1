import type { Selectable } from "kysely";
import { type Clock, microsOf, systemClock, timestampOf } from "#base/clock.ts";
import { Fault } from "#base/fault.ts";
import type { Procedure } from "#contract/boxfile.ts";
import type { Deployment, DeploymentServer, DeploymentState } from "#contract/deployment.ts";
import type { Event } from "#contract/events.ts";
import type { CommitId, ServerName, WebsiteId } from "#contract/names.ts";
import type { Push } from "#contract/push.ts";
import { momentOfOrder, momentOfPush } from "./deployment-order.ts";
import type { DeploymentServerTable, DeploymentTable } from "./deployment-tables.ts";
import { addFences, findAbsentBoxes, type NewFence } from "./fences.ts";
import type { Store } from "./schema.ts";
import { readWebsite } from "./websites.ts";

/** A deployment with what its process needs to go on after a restart. */
export interface DeploymentRecord extends Omit<Deployment, "servers">, Procedure {
  readonly branch: string;
  /** Whether its commit is no release before it is built. */
  readonly needsBuild: boolean;
  /** Who took the push; null when nobody pushed. */
  readonly gitServer: ServerName | null;
  /** The instant of the last switch that was asked for. */
  readonly switchAtMicros: number | null;
  readonly isTurningBack: boolean;
  /** Whether the databases are kept as they were before `update`. */
  readonly hasSnapshot: boolean;
}

/** What somebody asks for: a commit of the website's repository, or one of its releases of before. */
export interface DeploymentOrder extends Pick<Deployment, "website" | "commit"> {
  readonly kind: "deploy" | "rollback";
  readonly caller: string;
  /** Whether visitors wait until the release is right, whatever it says itself. */
  readonly holdSeconds: number | null;
  readonly needsBuild: boolean;
}

/** The last thing known of a server in a deployment; an absent moment keeps the one noted before. */
export interface ServerNote extends Pick<DeploymentServer, "name" | "role" | "error"> {
  /** Whether the deployment goes on without it; false when absent. */
  readonly isLeftOut?: boolean;
  readonly stagedAt?: string;
  readonly switchedAt?: string;
  /** Of the clock that `switchedAt` is of. */
  readonly clockOffsetMs?: number;
}

/** One move of a deployment with all that becomes true at the same time. */
export interface StateMove {
  readonly id: number;
  readonly from: DeploymentState;
  readonly to: DeploymentState;
  readonly reason?: string;
  /** Set when the deployment enters `staging`. */
  readonly previous?: CommitId | null;
  readonly switchAtMicros?: number;
  /** Set when the deployment enters `staged`. */
  readonly procedure?: Procedure;
  readonly finishedAtMicros?: number;
  /** Set when the deployment ends as `live` and has a hook that runs afterwards. */
  readonly isAfterDue?: boolean;
  /** The release that the website's servers must converge to from now on. */
  readonly release?: { readonly website: WebsiteId; readonly commit: CommitId | null };
  readonly servers?: readonly ServerNote[];
  readonly events?: readonly Event[];
}

/**
 * Records a push as a deployment, once however often it comes; false when the yard has no such website. `clockOffsetMs`
 * is by how much the git server's clock is ahead of this one.
 */
export async function recordPush(
  store: Store,
  push: Push,
  { clockOffsetMs = 0, clock = systemClock }: { readonly clockOffsetMs?: number; readonly clock?: Clock } = {},
): Promise<boolean> {
  const website = await store.selectFrom("website").select("cluster").where("id", "=", push.website).executeTakeFirst();
  if (website === undefined) return false;
  const { cluster } = website;
  const acceptedAtMicros = microsOf(push.acceptedAt) - Math.round(clockOffsetMs * 1000);
  await store
    .insertInto("deployment")
    .values({
      website: push.website,
      cluster,
      commit: push.commit,
      state: "received",
      push: push.id,
      branch: push.branch,
      git_server: push.server,
      accepted_at: await momentOfPush(store, push.website, { acceptedAtMicros, clock }),
      needs_build: push.needsBuild,
    })
    .onConflict((conflict) => conflict.column("push").doNothing())
    .execute();
  return true;
}

/** Records that somebody asks for a deployment; gives its id. Throws Fault "website.unknown". */
export async function recordOrder(
  store: Store,
  { website, kind, commit, caller, holdSeconds, needsBuild }: DeploymentOrder,
  clock: Clock = systemClock,
): Promise<number> {
  const { cluster, branch } = await readWebsite(store, website);
  const { id } = await store
    .insertInto("deployment")
    .values({
      website,
      cluster,
      commit,
      state: "received",
      kind,
      caller,
      hold_seconds: holdSeconds,
      needs_build: needsBuild,
      branch,
      accepted_at: await momentOfOrder(store, website, clock),
      // Nobody waits at a git server to be told.
      is_settled: true,
    })
    .returning("id")
    .executeTakeFirstOrThrow();
  return id;
}

/** The releases of a website that went live, the newest first, each once. */
export async function listGoodReleases(store: Store, website: WebsiteId): Promise<CommitId[]> {
  const rows = await goodReleases(store).where("website", "=", website).execute();
  return rows.map(({ commit }) => commit);
}

/** The same of all websites that have some. */
export async function listAllGoodReleases(store: Store): Promise<Map<WebsiteId, CommitId[]>> {
  const byWebsite = Map.groupBy(await goodReleases(store).execute(), ({ website }) => website);
  return new Map([...byWebsite].map(([website, rows]) => [website, rows.map(({ commit }) => commit)]));
}

function goodReleases(store: Store) {
  return store
    .selectFrom("deployment")
    .select(["website", "commit", (read) => read.fn.max("finished_at").as("at")])
    .where("state", "=", "live")
    .groupBy(["website", "commit"])
    .orderBy("at", "desc");
}

/** Websites with a deployment that has not ended. */
export async function listWebsitesUnderWay(store: Store): Promise<WebsiteId[]> {
  const rows = await store.selectFrom("deployment").select("website").distinct().where("finished_at", "is", null).execute();
  return rows.map((row) => row.website);
}

/** A website's deployments that have not ended, oldest push first, and when the newest push that is live was accepted. */
export async function readQueue(store: Store, website: WebsiteId): Promise<{ open: DeploymentRecord[]; newestLiveAt: string | null }> {
  const ofWebsite = store.selectFrom("deployment").where("website", "=", website);
  const [open, live] = await Promise.all([
    ofWebsite.selectAll().where("finished_at", "is", null).orderBy("accepted_at").orderBy("id").execute(),
    ofWebsite
      .where("state", "=", "live")
      .select((read) => read.fn.max("accepted_at").as("at"))
      .executeTakeFirst(),
  ]);
  return { open: open.map(recordOf), newestLiveAt: momentOf(live?.at ?? null) };
}

/**
 * Compare-and-set: false, and nothing changed, when the deployment is not in `from` any more. Into `switching` none goes
 * without a box that visitors are sent to: Fault "deployment.incomplete" with `details.boxes`.
 */
export async function moveState(store: Store, move: StateMove): Promise<boolean> {
  return store.transaction().execute(async (transaction) => {
    if (move.to === "switching") await requireAllBoxes(transaction, move.id);
    const moved = await transaction
      .updateTable("deployment")
      .set({
        state: move.to,
        ...(move.reason === undefined ? {} : { reason: move.reason }),
        ...(move.previous === undefined ? {} : { previous: move.previous }),
        ...(move.procedure === undefined ? {} : columnsOf(move.procedure)),
        ...(move.switchAtMicros === undefined ? {} : { switch_at: move.switchAtMicros }),
        ...(move.isAfterDue === undefined ? {} : { is_after_due: move.isAfterDue }),
        ...(move.finishedAtMicros === undefined ? {} : { finished_at: move.finishedAtMicros }),
      })
      .where("id", "=", move.id)
      .where("state", "=", move.from)
      .executeTakeFirst();
    if (moved.numUpdatedRows === 0n) return false;
    if (move.release !== undefined) await setRelease(transaction, { ...move.release, decision: decisionOf(move.id) });
    await noteServers(transaction, move.id, move.servers ?? []);
    await appendEvents(transaction, move.id, move.events ?? []);
    return true;
  });
}

function columnsOf({ hooks, snapshotsDatabases, holdSeconds }: Procedure) {
  return { hooks: JSON.stringify(hooks), snapshots_databases: snapshotsDatabases, hold_seconds: holdSeconds };
}

async function requireAllBoxes(transaction: Store, deployment: number): Promise<void> {
  const boxes = await findAbsentBoxes(transaction, deployment);
  if (boxes.length === 0) return;
  throw new Fault("deployment.incomplete", `${boxes.join(", ")} got visitors again meanwhile, and has not staged the release`, {
    details: { boxes },
  });
}

/** Decides for good that a deployment is switched back, and which release its website must converge to. */
export async function decideTurningBack(store: Store, id: number, options: { reason: string; release: CommitId | null }): Promise<void> {
  await store.transaction().execute(async (transaction) => {
    const decided = await transaction
      .updateTable("deployment")
      .set({ is_turning_back: true, reason: options.reason })
      .where("id", "=", id)
      .where("state", "in", ["switching", "verifying", "updating"])
      .where("is_turning_back", "=", false)
      .returning("website")
      .executeTakeFirst();
    if (decided !== undefined)
      await setRelease(transaction, { website: decided.website, commit: options.release, decision: decisionOf(id, true) });
  });
}

/** Notes the instant of a switch that is asked for again. */
export async function noteSwitchInstant(store: Store, id: number, switchAtMicros: number): Promise<void> {
  await store.updateTable("deployment").set({ switch_at: switchAtMicros }).where("id", "=", id).execute();
}

/** Notes that the databases are kept as they are now: when the deployment turns back, they are put back. */
export async function noteSnapshot(store: Store, id: number): Promise<void> {
  await store.updateTable("deployment").set({ has_snapshot: true }).where("id", "=", id).execute();
}

/** Notes the servers' parts in a deployment. */
export async function noteServers(store: Store, deployment: number, notes: readonly ServerNote[]): Promise<void> {
  if (notes.length === 0) return;
  const rows = notes.map((note) => ({
    deployment,
    server: note.name,
    role: note.role,
    staged_at: note.stagedAt === undefined ? null : microsOf(note.stagedAt),
    switched_at: note.switchedAt === undefined ? null : microsOf(note.switchedAt),
    clock_offset: note.clockOffsetMs === undefined ? null : Math.round(note.clockOffsetMs * 1000),
    error: note.error,
    is_left_out: note.isLeftOut ?? false,
  }));
  await store
    .insertInto("deployment_server")
    .values(rows)
    .onConflict((conflict) =>
      conflict.columns(["deployment", "server"]).doUpdateSet((set) => ({
        staged_at: set.fn.coalesce("excluded.staged_at", "deployment_server.staged_at"),
        switched_at: set.fn.coalesce("excluded.switched_at", "deployment_server.switched_at"),
        clock_offset: set.fn.coalesce("excluded.clock_offset", "deployment_server.clock_offset"),
        error: set.ref("excluded.error"),
        is_left_out: set.ref("excluded.is_left_out"),
      })),
    )
    .execute();
}

/** The deployment goes on without these servers, of which some are fenced; gives those that were not before. */
export async function leaveOut(
  store: Store,
  deployment: number,
  { notes, fences }: { readonly notes: readonly ServerNote[]; readonly fences: readonly NewFence[] },
): Promise<ServerName[]> {
  return store.transaction().execute(async (transaction) => {
    await noteServers(
      transaction,
      deployment,
      notes.map((note) => ({ ...note, isLeftOut: true })),
    );
    return addFences(transaction, fences);
  });
}

/** Appends what happened, in this order. */
export async function appendEvents(store: Store, deployment: number, events: readonly Event[]): Promise<void> {
  if (events.length === 0) return;
  const rows = events.map((event) => ({ deployment, event: JSON.stringify(event) }));
  await store.insertInto("deployment_event").values(rows).execute();
}

/** What happened in a deployment after the first `after` events, and whether nothing will any more; null when there is no such deployment. */
export async function deploymentEvents(
  store: Store,
  deployment: number,
  after: number,
): Promise<{ events: Event[]; isFinal: boolean } | null> {
  // The state first: the last event is stored together with the final state, so it cannot be missed this way round.
  const found = await store
    .selectFrom("deployment")
    .select(["finished_at", "is_after_due"])
    .where("id", "=", deployment)
    .executeTakeFirst();
  if (found === undefined) return null;
  const rows = await store
    .selectFrom("deployment_event")
    .select("event")
    .where("deployment", "=", deployment)
    .orderBy("seq")
    .offset(after)
    .execute();
  return { events: rows.map((row) => row.event), isFinal: found.finished_at !== null && !found.is_after_due };
}

/** The newest deployments, newest last. */
export async function listDeployments(store: Store, options: { website?: WebsiteId; limit: number }): Promise<Deployment[]> {
  const all = store.selectFrom("deployment").selectAll().orderBy("id", "desc").limit(options.limit);
  const rows = await (options.website === undefined ? all : all.where("website", "=", options.website)).execute();
  return withServers(store, rows.reverse());
}

/** One deployment as the API gives it; null when there is none. */
export async function showDeployment(store: Store, id: number): Promise<Deployment | null> {
  const rows = await store.selectFrom("deployment").selectAll().where("id", "=", id).execute();
  return (await withServers(store, rows))[0] ?? null;
}

/** One deployment with what its process needs; null when there is none. */
export async function findDeployment(store: Store, id: number): Promise<DeploymentRecord | null> {
  const row = await store.selectFrom("deployment").selectAll().where("id", "=", id).executeTakeFirst();
  return row === undefined ? null : recordOf(row);
}

/** The servers that a deployment has begun with. */
export async function deploymentServers(store: Store, deployment: number): Promise<DeploymentServer[]> {
  const rows = await store.selectFrom("deployment_server").selectAll().where("deployment", "=", deployment).orderBy("server").execute();
  return rows.map(serverOf);
}

/** Deployments that have ended and whose git server does not know it yet, oldest first. */
export async function listUnsettled(store: Store): Promise<DeploymentRecord[]> {
  const rows = await store
    .selectFrom("deployment")
    .selectAll()
    .where("finished_at", "is not", null)
    .where("is_settled", "=", false)
    .orderBy("id")
    .limit(100)
    .execute();
  return rows.map(recordOf);
}

/** Deployments that are live and whose `hooks.after` has not ended, oldest first. */
export async function listAfterDue(store: Store): Promise<DeploymentRecord[]> {
  const rows = await store.selectFrom("deployment").selectAll().where("is_after_due", "=", true).orderBy("id").execute();
  return rows.map(recordOf);
}

/** Its `hooks.after` has ended, however it did. */
export async function markAfterEnded(store: Store, id: number): Promise<void> {
  await store.updateTable("deployment").set({ is_after_due: false }).where("id", "=", id).execute();
}

/** The git server knows how the deployment ended. */
export async function markSettled(store: Store, id: number): Promise<void> {
  await store.updateTable("deployment").set({ is_settled: true }).where("id", "=", id).execute();
}

interface Decided {
  readonly website: WebsiteId;
  readonly commit: CommitId | null;
  readonly decision: number;
}

/** A deployment decides what is to be served at most twice: that its release is, and then that the one before is after all. */
export function decisionOf(deployment: number, isTurningBack = false): number {
  return 2 * deployment + (isTurningBack ? 1 : 0);
}

async function setRelease(store: Store, { website, commit, decision }: Decided): Promise<void> {
  await store.updateTable("website").set({ release: commit, release_decision: decision }).where("id", "=", website).execute();
}

async function withServers(store: Store, rows: readonly Selectable<DeploymentTable>[]): Promise<Deployment[]> {
  if (rows.length === 0) return [];
  const ids = rows.map((row) => row.id);
  const servers = await store.selectFrom("deployment_server").selectAll().where("deployment", "in", ids).orderBy("server").execute();
  const byDeployment = Map.groupBy(servers, (server) => server.deployment);
  return rows.map((row) => ({ ...deploymentOf(row), servers: (byDeployment.get(row.id) ?? []).map(serverOf) }));
}

function recordOf(row: Selectable<DeploymentTable>): DeploymentRecord {
  return {
    ...deploymentOf(row),
    branch: row.branch,
    needsBuild: row.needs_build,
    gitServer: row.git_server,
    switchAtMicros: row.switch_at === null ? null : Number(row.switch_at),
    isTurningBack: row.is_turning_back,
    hooks: row.hooks,
    holdSeconds: row.hold_seconds,
    snapshotsDatabases: row.snapshots_databases,
    hasSnapshot: row.has_snapshot,
  };
}

function deploymentOf(row: Selectable<DeploymentTable>): Omit<Deployment, "servers"> {
  const { id, website, cluster, kind, commit, previous, state, reason, push, caller } = row;
  const acceptedAt = timestampOf(Number(row.accepted_at));
  return {
    id,
    website,
    cluster,
    kind,
    commit,
    previous,
    state,
    reason,
    push,
    caller,
    acceptedAt,
    finishedAt: momentOf(row.finished_at),
  };
}

function serverOf(row: Selectable<DeploymentServerTable>): DeploymentServer {
  const { server: name, role, error, is_left_out: isLeftOut, clock_offset: offset } = row;
  const moments = { stagedAt: momentOf(row.staged_at), switchedAt: momentOf(row.switched_at) };
  return { name, role, ...moments, clockOffsetMs: offset === null ? null : Number(offset) / 1000, error, isLeftOut };
}

function momentOf(micros: string | null): string | null {
  return micros === null ? null : timestampOf(Number(micros));
}
