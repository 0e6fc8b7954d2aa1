import { type Clock, systemClock, timestamp } from "#base/clock.ts";
import { Fault, reportFault } from "#base/fault.ts";
import type { Log } from "#base/log.ts";
import { mapParallel } from "#base/parallel.ts";
import { bootFiles } from "#cloud/boot-files.ts";
import type { Cloud, CloudServer, Guard, VolumeMount } from "#cloud/driver.ts";
import type { ControlConfig } from "#contract/control-config.ts";
import { ENROLMENT_PATH, type Enrolment } from "#contract/enrolment.ts";
import type { ServerChange } from "#contract/events.ts";
import type { ServerName } from "#contract/names.ts";
import type { ControlFabric } from "#fabric/fabric.ts";
import { publicKeyOf } from "#fabric/native-keys.ts";
import type { BusKeys } from "../authority/bus-keys.ts";
import { enrol } from "../enrol.ts";
import { builderOf } from "../plan/builder.ts";
import type { Secrets } from "../secrets.ts";
import { addBusKey } from "../store/bus-keys.ts";
import { listEmptiedClusters, removeClusterRow } from "../store/clusters.ts";
import { addFences } from "../store/fences.ts";
import type { Store } from "../store/schema.ts";
import { isMadeByHost, listServerRows, removeServerRow, type ServerRow, setEnrolment, setServerState } from "../store/servers.ts";
import { listGenerations } from "../store/specs.ts";
import { listWebsiteRows } from "../store/websites.ts";
import type { Attendance } from "./attendance.ts";

export interface ProvisionOptions {
  readonly config: ControlConfig;
  readonly secrets: Secrets;
  /** All brokers of the bus. */
  readonly brokers: readonly string[];
  readonly store: Store;
  readonly fabric: ControlFabric;
  readonly cloud: Cloud;
  readonly busKeys: BusKeys;
  readonly attendance: Pick<Attendance, "compare">;
  readonly log: Log;
  /** Takes a removed server's spec and status off the bus. */
  readonly withdraw: (server: ServerName) => Promise<void>;
  /** Told when rows have changed, so that the planner looks again. */
  readonly onRowsChanged: () => void;
  readonly clock?: Clock;
}

/** A server's copy costs disk work, its boot costs processor time: more at once are not faster. */
const AT_ONCE = 3;

/** Takes down what could not be done. */
type Note = (thrown: unknown) => void;

const BUILD_VOLUMES = "build-";
/** Volumes of removed websites are looked for this often. */
const SWEEP_MS = 60_000;

/** Makes the cloud as the rows are: creates what is missing, starts what is stopped, removes what is deleted. */
export class Provisioner {
  readonly #options: ProvisionOptions;
  readonly #clock: Clock;
  #troubles: readonly string[] = [];
  #sweptAtMs = Number.NEGATIVE_INFINITY;

  constructor(options: ProvisionOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
  }

  /** What could not be done in the last turn, in words; empty when all is well. */
  troubles(): readonly string[] {
    return this.#troubles;
  }

  async turn(): Promise<void> {
    const troubles: string[] = [];
    const note: Note = (thrown) => {
      const { message, next } = reportFault(thrown);
      troubles.push(next === null ? message : `${message} (${next})`);
      this.#options.log.warn({ fault: message }, "provisioning trouble");
    };
    try {
      await this.#options.cloud.check();
      const servers = await listServerRows(this.#options.store);
      const known = await this.#options.cloud.listServers();
      // What is stopped is reported before it is started.
      await this.#options.attendance.compare(servers, known);
      await this.#createMissing(servers, known, note);
      await this.#guard(servers, known, note);
      await this.#retireLeaving(servers);
      await this.#removeDeleted(servers, note);
      await this.#removeBuildVolumes();
    } catch (thrown) {
      note(thrown);
    }
    this.#troubles = [...new Set(troubles)];
  }

  /** A server whose keys were taken back gets new ones by the cloud's hand, since it cannot be reached otherwise. */
  async readmit(row: ServerRow): Promise<void> {
    const { cloud, store } = this.#options;
    const enrolment = await this.#enrol(row);
    await cloud.writeFile(row.name, { path: ENROLMENT_PATH, content: JSON.stringify(enrolment), mode: 0o600 });
    await setEnrolment(store, row.name, enrolment);
    const { exitCode, stderr } = await cloud.execute(row.name, ["systemctl", "restart", "boxyard-agent"], { timeoutMs: 60_000 });
    if (exitCode !== 0) throw new Fault("server.agent-not-restarted", `the agent of ${row.name} did not start again: ${stderr.trim()}`);
  }

  async #createMissing(servers: readonly ServerRow[], known: readonly CloudServer[], note: Note): Promise<void> {
    const { config } = this.#options;
    const running = new Set(known.filter((server) => server.isRunning).map((server) => server.name));
    const missing = servers.filter((server) => server.state === "present" && server.name !== config.server && !running.has(server.name));
    const names = new Set(known.map(({ name }) => name));
    await this.#fenceNewCaches(servers, names);
    await mapParallel(missing, AT_ONCE, (server) =>
      (isMadeByHost(server) ? this.#startFirst(server, names) : this.#ensure(server, names.has(server.name))).catch(note),
    );
  }

  /** Servers that were made before they were guarded, or that somebody changed by hand. */
  async #guard(servers: readonly ServerRow[], known: readonly CloudServer[], note: Note): Promise<void> {
    const guards = new Map(known.map(({ name, guard }) => [name, guard]));
    const unguarded = servers.filter((row) => row.state !== "deleting" && guards.has(row.name) && guards.get(row.name) !== guardOf(row));
    await mapParallel(unguarded, AT_ONCE, async (row) => {
      try {
        await this.#options.cloud.guardServer(row.name, guardOf(row));
        this.#options.log.info({ server: row.name, guard: guardOf(row) }, "server guarded");
      } catch (thrown) {
        note(thrown);
      }
    });
  }

  /** The first control server is made by the host; one that is not enrolled is being made, and must not start before it has its files. */
  async #startFirst({ name }: ServerRow, known: ReadonlySet<ServerName>): Promise<void> {
    const { cloud } = this.#options;
    if (!known.has(name)) throw new Fault("server.lost", `${name} is gone from the cloud`, { next: "the host makes it anew: bin/up" });
    if ((await cloud.readFile(name, ENROLMENT_PATH)) === null) return;
    await cloud.startServer(name);
    await this.#publish(name, { what: "started" });
  }

  /** A cache that is made anew while another of its cluster serves knows nothing of visitors who wait: it gets none before it is right. */
  async #fenceNewCaches(servers: readonly ServerRow[], known: ReadonlySet<ServerName>): Promise<void> {
    const caches = servers.filter(({ state, roles }) => state === "present" && roles.includes("cache"));
    const serving = new Set(caches.filter(({ name, fence }) => known.has(name) && fence === null).map(({ cluster }) => cluster));
    const fences = caches
      .filter(({ name, cluster }) => !known.has(name) && serving.has(cluster))
      .map(({ name }) => ({ server: name, reason: "it is made anew", deployment: null }));
    if ((await addFences(this.#options.store, fences)).length > 0) this.#options.onRowsChanged();
  }

  /** The server is there and runs. */
  async #ensure(row: ServerRow, isInCloud: boolean): Promise<void> {
    const { cloud, config } = this.#options;
    const { name, address } = row;
    const enrolment = await this.#enrolment(row);
    const volumes = volumesOf(row, config);
    for (const { volume } of volumes) await cloud.ensureVolume(volume);
    const files = bootFiles({ name, address, prefixLength: Number(config.subnet.split("/")[1]), gateway: config.gateway });
    await cloud.ensureServer({
      name,
      template: config.template,
      address,
      guard: guardOf(row),
      volumes,
      files: [...files, { path: ENROLMENT_PATH, content: JSON.stringify(enrolment), mode: 0o600 }],
    });
    // One that was never heard of is being created, however often that was begun.
    const isNew = row.joined_at === null;
    await this.#publish(name, { what: isNew ? "created" : isInCloud ? "started" : "replaced" });
  }

  /**
   * What a server starts with. One that has changed its key since its creation is enrolled anew; one that was cut off has no
   * key that counts, and stays cut off however often it is started.
   */
  async #enrolment(row: ServerRow): Promise<Enrolment> {
    if (row.enrolment !== null) {
      const current = (await this.#options.busKeys.current()).get(row.name) ?? [];
      if (current.length === 0 || current.includes(publicKeyOf(row.enrolment.credentials.jwt)))
        return { ...row.enrolment, brokers: [...this.#options.brokers] };
    }
    const enrolment = await this.#enrol(row);
    await setEnrolment(this.#options.store, row.name, enrolment);
    return enrolment;
  }

  async #enrol({ name, address, roles }: ServerRow): Promise<Enrolment> {
    const { config, secrets, brokers, store } = this.#options;
    const enrolment = await enrol(secrets, { yard: config.yard, name, address, roles, brokers });
    await addBusKey(store, name, publicKeyOf(enrolment.credentials.jwt));
    return enrolment;
  }

  /** A leaving box goes when no cache of its cluster sends it requests any more. */
  async #retireLeaving(servers: readonly ServerRow[]): Promise<void> {
    const leaving = servers.filter((server) => server.state === "leaving");
    if (leaving.length === 0) return;
    const { store, fabric } = this.#options;
    const generations = await listGenerations(store);
    const hasConverged = (name: ServerName) =>
      (fabric.registry().get(name)?.generation ?? 0) >= (generations.get(name) ?? Number.POSITIVE_INFINITY);
    const retired = leaving.filter((box) =>
      servers
        .filter((server) => server.cluster === box.cluster && server.state === "present" && server.roles.includes("cache"))
        .every((cache) => hasConverged(cache.name)),
    );
    await setServerState(
      store,
      retired.map((server) => server.name),
      "deleting",
    );
    if (retired.length > 0) this.#options.onRowsChanged();
  }

  async #removeDeleted(servers: readonly ServerRow[], note: Note): Promise<void> {
    const { busKeys, cloud, withdraw, store } = this.#options;
    const deleted = servers.filter((server) => server.state === "deleting");
    await mapParallel(deleted, AT_ONCE, async ({ name }) => {
      try {
        // First of all: whoever kept a copy of its credentials has nothing from it any more.
        await busKeys.revoke(name);
        await cloud.removeServer(name);
        await withdraw(name);
        await removeServerRow(store, name);
        await this.#publish(name, { what: "removed" });
      } catch (thrown) {
        note(thrown);
      }
    });
    for (const cluster of await listEmptiedClusters(store)) {
      await cloud.removeVolume(filesVolume(cluster));
      await removeClusterRow(store, cluster);
    }
    if (deleted.length > 0) this.#options.onRowsChanged();
  }

  async #publish(server: ServerName, change: ServerChange): Promise<void> {
    const { fabric, log } = this.#options;
    log.info({ server }, `server ${change.what}`);
    await fabric.publishEvent({ kind: "server", at: timestamp(this.#clock), server, change });
  }

  /** What builds have kept goes with the website. */
  async #removeBuildVolumes(): Promise<void> {
    if (this.#clock.elapsedMs() - this.#sweptAtMs < SWEEP_MS) return;
    this.#sweptAtMs = this.#clock.elapsedMs();
    const { cloud, store } = this.#options;
    const kept = new Set((await listWebsiteRows(store)).map(({ id }) => buildVolume(builderOf(id))));
    const mounted = new Set((await listServerRows(store)).map(({ name }) => buildVolume(name)));
    for (const volume of await cloud.listVolumes())
      if (volume.startsWith(BUILD_VOLUMES) && !kept.has(volume) && !mounted.has(volume)) await cloud.removeVolume(volume);
  }
}

/** Edges are to answer at floating addresses. */
function guardOf({ roles }: ServerRow): Guard {
  return roles.includes("edge") ? "hardware" : "address";
}

function volumesOf({ name, cluster, roles }: ServerRow, { runtimeVolume }: ControlConfig): VolumeMount[] {
  const runtime = { volume: runtimeVolume, path: "/opt/boxyard", isReadOnly: true };
  if (roles.includes("builder")) return [runtime, { volume: buildVolume(name), path: "/srv/build", isReadOnly: false }];
  const hasFiles = cluster !== null && (roles.includes("box") || roles.includes("shell"));
  return hasFiles ? [runtime, { volume: filesVolume(cluster), path: "/srv/files", isReadOnly: false }] : [runtime];
}

/** The volume with what builds of a website keep for each other. */
function buildVolume(builder: ServerName): string {
  return `${BUILD_VOLUMES}${builder}`;
}

/** The volume with the shared files of a cluster's websites. */
function filesVolume(cluster: string): string {
  return `files-${cluster}`;
}
