import type { Msg } from "@nats-io/transport-node";
import { type Clock, microsOf, systemClock, timestamp } from "#base/clock.ts";
import type { ServerName, Timestamp } from "#contract/names.ts";
import { GAP_MS, REGISTRY_EXPIRY_MS, ServerStatus } from "#contract/status.ts";
import { jsonOf } from "./listen.ts";

export interface RegistryOptions {
  /** Whether the bus has more than one broker, so that a server may come back by another one. */
  readonly isClustered: boolean;
  /** Told of a server whose process or connection is another one than before: what it was asked may be lost. */
  readonly onRenewed: (server: ServerName) => void;
  /** Told of changes since the last time, at most twice a second: when all servers come back at once, each by itself would be too often. */
  readonly onSettled: () => void;
  readonly clock?: Clock;
}

const LOOK_MS = 500;
/** Far more than a server has to say of itself; one in wrong hands must not fill control's memory. */
const MOST_STATUS_BYTES = 256 * 1024;

/** What is remembered of a server also when it has fallen silent. */
interface Sighting {
  readonly heardAtMs: number;
  readonly heardAt: Timestamp;
  /** Since when it has been heard of without a gap. */
  readonly since: Timestamp;
  /** When its process began. */
  readonly startedAt: Timestamp;
  readonly clockOffsetMs: number;
  /** By this heartbeat alone, which may have been late. */
  readonly measuredOffsetMs: number;
}

/** Who is there, by the servers' heartbeats. In memory: a process that has just begun knows all within one of them. */
export class Registry {
  readonly #options: RegistryOptions;
  readonly #statuses = new Map<ServerName, ServerStatus>();
  readonly #sightings = new Map<ServerName, Sighting>();
  readonly #listeners = new Set<() => void>();
  #hasChanged = false;
  readonly #clock: Clock;
  #endLooking: (() => void) | undefined;

  constructor(options: RegistryOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
  }

  start(): void {
    this.#endLooking?.();
    this.#endLooking = this.#clock.after(LOOK_MS, () => {
      this.start();
      this.#look();
    });
  }

  stop(): void {
    this.#endLooking?.();
  }

  statuses(): ReadonlyMap<ServerName, ServerStatus> {
    return this.#statuses;
  }

  has(server: ServerName): boolean {
    return this.#statuses.has(server);
  }

  lastHeard(server: ServerName): Timestamp | null {
    return this.#sightings.get(server)?.heardAt ?? null;
  }

  heardSince(server: ServerName): Timestamp | null {
    return this.has(server) ? (this.#sightings.get(server)?.since ?? null) : null;
  }

  clockOffsetMs(server: ServerName): number {
    return this.#sightings.get(server)?.clockOffsetMs ?? 0;
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  forget(server: ServerName): void {
    this.#statuses.delete(server);
    this.#sightings.delete(server);
  }

  /** Takes a heartbeat; what is none, or another server's, counts for nothing. */
  hear(message: Pick<Msg, "data" | "json" | "subject">): void {
    if (message.data.length === 0 || message.data.length > MOST_STATUS_BYTES) return;
    const status = ServerStatus.safeParse(jsonOf(message));
    const server = message.subject.split(".").at(-1) ?? "";
    if (!status.success || status.data.server !== server) return;
    const before = this.#statuses.get(server);
    if (before !== undefined && isOlder(status.data, before)) return;
    if (this.#isRenewed(status.data, before)) this.#options.onRenewed(server);
    this.#statuses.set(server, status.data);
    this.#sightings.set(server, sight(status.data, this.#sightings.get(server), this.#clock));
    if (before === undefined || saysMore(before, status.data)) this.#tell();
  }

  #isRenewed({ server, startedAt, reconnections = 0 }: ServerStatus, before: ServerStatus | undefined): boolean {
    const isAnother = (this.#sightings.get(server)?.startedAt ?? startedAt) !== startedAt;
    return isAnother || (this.#options.isClustered && (before?.reconnections ?? 0) < reconnections);
  }

  #look(): void {
    const silentSince = this.#clock.elapsedMs() - REGISTRY_EXPIRY_MS;
    for (const server of this.#statuses.keys()) {
      if ((this.#sightings.get(server)?.heardAtMs ?? 0) >= silentSince) continue;
      this.#statuses.delete(server);
      this.#tell();
    }
    if (!this.#hasChanged) return;
    this.#hasChanged = false;
    this.#options.onSettled();
  }

  #tell(): void {
    this.#hasChanged = true;
    for (const listener of this.#listeners) listener();
  }
}

function sight({ at, startedAt }: ServerStatus, last: Sighting | undefined, clock: Clock): Sighting {
  const heardAtMs = clock.elapsedMs();
  const heardAt = timestamp(clock);
  const since = last === undefined || heardAtMs - last.heardAtMs > GAP_MS ? heardAt : last.since;
  const measuredOffsetMs = (microsOf(at) - clock.nowMicros()) / 1000;
  // A heartbeat that was long on its way looks like a clock that is behind, never like one that is ahead.
  const clockOffsetMs = Math.max(measuredOffsetMs, last?.measuredOffsetMs ?? measuredOffsetMs);
  return { heardAtMs, heardAt, since, startedAt, clockOffsetMs, measuredOffsetMs };
}

/** Of the same process, and given before: it waited in a connection that was lost. */
function isOlder(status: ServerStatus, known: ServerStatus): boolean {
  return status.startedAt === known.startedAt && status.count < known.count;
}

/** Whether a heartbeat says more than "still there". */
function saysMore(before: ServerStatus, after: ServerStatus): boolean {
  const essence = ({ generation, targetGeneration, faults, websiteFaults, restarts, releases, startedAt }: ServerStatus) =>
    JSON.stringify([generation, targetGeneration, faults, websiteFaults, restarts, releases, startedAt]);
  return essence(before) !== essence(after);
}
