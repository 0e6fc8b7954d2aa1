import { type Clock, systemClock, timestamp } from "#base/clock.ts";
import { reportFault } from "#base/fault.ts";
import type { Log } from "#base/log.ts";
import { type Loop, loop } from "#base/loop.ts";
import type { Cloud, CloudServer } from "#cloud/driver.ts";
import type { AbsenceCause, ServerChange } from "#contract/events.ts";
import type { ServerName } from "#contract/names.ts";
import { REGISTRY_EXPIRY_MS, type ServerStatus } from "#contract/status.ts";
import type { ControlFabric } from "#fabric/fabric.ts";
import type { Store } from "../store/schema.ts";
import { listServerRows, markJoined, type ServerRow } from "../store/servers.ts";
import { listGenerations } from "../store/specs.ts";

export interface AttendanceOptions {
  readonly store: Store;
  readonly fabric: Pick<ControlFabric, "registry" | "lastHeard" | "onRegistryChange" | "publishEvent">;
  readonly cloud: Pick<Cloud, "listServers">;
  readonly log: Log;
  readonly clock?: Clock;
}

/** A stopped server is noticed by the cloud's list before its silence shows. */
const LOOK_MS = 4_000;
/** From its first start to its first heartbeat a new server takes some ten seconds. */
const CREATION_LIMIT_MS = 120_000;

interface Absence {
  readonly cause: AbsenceCause;
  readonly sinceMs: number;
  /** The last that was heard before it: what comes after it says that the server is back. */
  readonly last: ServerStatus | undefined;
  /** Whether an event said that it went. */
  readonly isReported: boolean;
}

/**
 * Which servers should be there and are not, and why: by the rows, the cloud and the heartbeats. Events say who went and who
 * is back. And who is there, but does not come any further.
 */
export class Attendance {
  readonly #options: AttendanceOptions;
  readonly #clock: Clock;
  readonly #loop: Loop;
  readonly #absences = new Map<ServerName, Absence>();
  /** Since when servers are known that have not been heard of yet. */
  readonly #newSinceMs = new Map<ServerName, number>();
  /** Since when servers that are behind their plan have been at this generation. */
  readonly #behind = new Map<ServerName, { readonly generation: number; readonly sinceMs: number }>();
  #unsubscribe: () => void = () => undefined;

  constructor(options: AttendanceOptions) {
    const { log, clock = systemClock } = options;
    this.#options = options;
    this.#clock = clock;
    const onFault = (thrown: unknown): void => log.warn({ fault: reportFault(thrown) }, "nobody knows which servers are there");
    this.#loop = loop({ work: () => this.#look(), everyMs: LOOK_MS, onFault, clock });
  }

  start(): void {
    this.#unsubscribe = this.#options.fabric.onRegistryChange(() => this.#loop.nudge());
    this.#loop.start();
  }

  async stop(): Promise<void> {
    this.#unsubscribe();
    await this.#loop.stop();
  }

  /** Why a server that should be there is not; null when it is, and while it is being created. */
  absenceOf(server: ServerName): AbsenceCause | null {
    return this.#absences.get(server)?.cause ?? null;
  }

  /** For how long a server that is behind its plan has not come any further, in milliseconds; 0 when it is not behind. */
  behindMs(server: ServerName): number {
    const behind = this.#behind.get(server);
    return behind === undefined ? 0 : this.#clock.elapsedMs() - behind.sinceMs;
  }

  /** Compares who should be there with whom the cloud has; null when the cloud could not be asked. */
  async compare(servers: readonly ServerRow[], inCloud: readonly CloudServer[] | null): Promise<void> {
    const expected = servers.filter(({ state }) => state === "present");
    const planned = await listGenerations(this.#options.store);
    for (const row of expected) {
      this.#compareOne(row, inCloud);
      this.#compareGeneration(row.name, planned.get(row.name) ?? 0);
    }
    const names = new Set(expected.map(({ name }) => name));
    for (const known of [this.#absences, this.#newSinceMs, this.#behind])
      for (const name of known.keys()) if (!names.has(name)) known.delete(name);
    const registry = this.#options.fabric.registry();
    const joined = expected.filter(({ name, joined_at }) => joined_at === null && registry.has(name));
    await markJoined(
      this.#options.store,
      joined.map(({ name }) => name),
    );
  }

  async #look(): Promise<void> {
    const { store, cloud } = this.#options;
    // The cloud may be away while the servers are not.
    const inCloud = await cloud.listServers().catch(() => null);
    await this.compare(await listServerRows(store), inCloud);
  }

  #compareOne({ name, joined_at }: ServerRow, inCloud: readonly CloudServer[] | null): void {
    const { fabric } = this.#options;
    const status = fabric.registry().get(name);
    const found = inCloud?.find((server) => server.name === name);
    const isOff = inCloud !== null && found?.isRunning !== true;
    const absence = this.#absences.get(name);
    const cause = causeOf(inCloud, found);
    if (absence === undefined) {
      if (!isOff && status !== undefined) return void this.#newSinceMs.delete(name);
      if (joined_at === null && status === undefined && (isOff || this.#isNew(name, CREATION_LIMIT_MS))) return;
      // Who has just begun to lead has not been told of anybody yet.
      if (cause === "silent" && fabric.lastHeard(name) === null && this.#isNew(name, REGISTRY_EXPIRY_MS)) return;
      this.#miss(name, cause, status);
    } else if (!isOff && status !== undefined && status !== absence.last) {
      this.#absences.delete(name);
      if (absence.isReported) this.#report(name, { what: "returned", awayMs: Math.round(this.#clock.elapsedMs() - absence.sinceMs) });
    } else {
      this.#absences.set(name, { ...absence, cause });
    }
  }

  #compareGeneration(name: ServerName, planned: number): void {
    const generation = this.#options.fabric.registry().get(name)?.generation;
    if (generation === undefined || generation >= planned) this.#behind.delete(name);
    else if (this.#behind.get(name)?.generation !== generation) this.#behind.set(name, { generation, sinceMs: this.#clock.elapsedMs() });
  }

  /** Whether the server, of which nothing was heard yet, is known for less than this. */
  #isNew(name: ServerName, limitMs: number): boolean {
    const now = this.#clock.elapsedMs();
    const since = this.#newSinceMs.get(name) ?? now;
    this.#newSinceMs.set(name, since);
    return now - since < limitMs;
  }

  /** A process that has just begun to lead has heard of nobody yet: it reports nobody as gone whom it never heard of. */
  #miss(name: ServerName, cause: AbsenceCause, last: ServerStatus | undefined): void {
    const isReported = this.#options.fabric.lastHeard(name) !== null;
    this.#absences.set(name, { cause, sinceMs: this.#clock.elapsedMs(), last, isReported });
    if (isReported) this.#report(name, { what: "went", cause });
  }

  #report(server: ServerName, change: ServerChange): void {
    const { fabric, log } = this.#options;
    log.info({ server, ...change }, "attendance changed");
    fabric
      .publishEvent({ kind: "server", at: timestamp(this.#clock), server, change })
      .catch((thrown: unknown) => log.warn({ server, fault: reportFault(thrown) }, "event not published"));
  }
}

function causeOf(inCloud: readonly CloudServer[] | null, found: CloudServer | undefined): AbsenceCause {
  if (inCloud === null || found?.isRunning === true) return "silent";
  return found === undefined ? "missing" : "stopped";
}
