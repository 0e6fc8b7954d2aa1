import { type Clock, systemClock } from "#base/clock.ts";
import { Fault, reportFault } from "#base/fault.ts";
import type { Log } from "#base/log.ts";
import { type Loop, loop } from "#base/loop.ts";
import { restartUnits } from "#contract/actions/server.ts";
import type { ServerName } from "#contract/names.ts";
import { NEEDS_RESTART } from "#contract/status.ts";
import type { ControlFabric } from "#fabric/fabric.ts";
import { waitForGenerations } from "../rotation/generations.ts";
import type { Rotation } from "../rotation/rotation.ts";
import type { Store } from "../store/schema.ts";
import { listServerRows, type ServerRow } from "../store/servers.ts";
import { wrongClock } from "../wrong-clock.ts";
import { type Kind, kindOf, peersOf, pickNext, type WaveServer } from "./pick.ts";

/** The times of waves; tests shorten them. */
export interface WaveTiming {
  /** How often it is looked whether servers wait. */
  readonly lookMs: number;
  /** How long a server may take to be in rotation again, or a broker to be ready. */
  readonly returnMs: number;
  /** How long who sends visitors to it may take to do so again. */
  readonly confirmMs: number;
  /** After this long it is tried again on the server on which it went wrong, after twice as long each time, up to LONGEST_RETRY_MS. */
  readonly retryMs: number;
  /** The brokers' own news of one that restarts comes within this time. */
  readonly brokerNewsMs: number;
}

const WAVE_TIMING: WaveTiming = { lookMs: 10_000, returnMs: 120_000, confirmMs: 30_000, retryMs: 60_000, brokerNewsMs: 10_000 };
const LONGEST_RETRY_MS = 15 * 60_000;
/** A server that has something to restart again so soon may have it for ever: it is slowed down. */
const AGAIN_MS = 60_000;
/** How long one who begins to lead keeps servers out of rotation that another one was about to restart. */
const HANDOVER_MS = 30_000;

/** Why a server is fenced that is about to restart something. */
const RESTART_FENCE = "it restarts for a change";

export interface WaveOptions {
  readonly store: Store;
  readonly fabric: ControlFabric;
  readonly rotation: Pick<Rotation, "fence" | "nudge">;
  /** Whether all brokers are there and have all that is stored. */
  readonly areBrokersWell: () => boolean;
  readonly log: Log;
  readonly timing?: Partial<WaveTiming>;
  readonly clock?: Clock;
}

/** What went wrong on a server. */
interface Failure {
  readonly kind: Kind;
  readonly why: string;
  readonly times: number;
  readonly againAtMs: number;
}

/**
 * Restarts what changes of configuration need restarted, in steps that visitors do not notice: a cache or a box gets no
 * visitors meanwhile, another one of its cluster serves, and the next step begins when it is in rotation again. What goes
 * wrong on one server stops its kind until that server is well: it is tried again there.
 */
export class Waves {
  readonly #options: WaveOptions;
  readonly #timing: WaveTiming;
  readonly #clock: Clock;
  readonly #loop: Loop;
  readonly #startedMs: number;
  readonly #restarting = new Set<ServerName>();
  /** Kinds of which one server has done it. */
  readonly #tried = new Set<Kind>();
  readonly #failures = new Map<ServerName, Failure>();
  /** When servers last restarted something. */
  readonly #lastMs = new Map<ServerName, number>();
  #unsubscribe: () => void = () => undefined;

  constructor(options: WaveOptions) {
    const { log, timing, clock = systemClock } = options;
    this.#options = options;
    this.#timing = { ...WAVE_TIMING, ...timing };
    this.#clock = clock;
    this.#startedMs = clock.elapsedMs();
    const onFault = (thrown: unknown): void => log.error({ fault: reportFault(thrown) }, "waves stand still");
    this.#loop = loop({ work: (signal) => this.#step(signal), everyMs: this.#timing.lookMs, onFault, clock });
  }

  start(): void {
    this.#unsubscribe = this.#options.fabric.onRegistryChange(() => {
      if (this.#isAnyWaiting()) this.#loop.nudge();
    });
    this.#loop.start();
  }

  async stop(): Promise<void> {
    this.#unsubscribe();
    await this.#loop.stop();
  }

  /** Whether a server is restarting something, or about to. */
  isRestarting(server: ServerName): boolean {
    return this.#restarting.has(server);
  }

  /** Whether a fenced server stays out of rotation until it has restarted something. */
  keepsFenced({ name, fence }: Pick<ServerRow, "name" | "fence">): boolean {
    if (this.#restarting.has(name)) return true;
    const isHandedOver = fence === RESTART_FENCE && this.#isWaiting(name) && !this.#failures.has(name);
    return isHandedOver && this.#clock.elapsedMs() - this.#startedMs < HANDOVER_MS;
  }

  /** Servers at which a wave has stopped, a line each. */
  troubles(): string[] {
    return [...this.#failures].map(
      ([server, { why }]) =>
        `restarts of servers like ${server} have stopped, as it went wrong there: ${why} (→ it is tried again by itself; at once: boxyard do server.restart-units --target ${server})`,
    );
  }

  #isAnyWaiting(): boolean {
    return [...this.#options.fabric.registry().keys()].some((name) => this.#isWaiting(name));
  }

  #isWaiting(name: ServerName): boolean {
    return (this.#options.fabric.registry().get(name)?.restarts?.length ?? 0) > 0;
  }

  async #step(signal: AbortSignal): Promise<void> {
    const servers = await this.#servers();
    this.#forget(servers);
    const next = pickNext(
      servers.map((server) => ({ ...server, isWaiting: server.isWaiting && this.#mayTry(server) })),
      this.#tried,
    );
    await Promise.all(next.map((name) => this.#restart(name, servers, signal)));
    signal.throwIfAborted();
    if (next.length > 0) this.#loop.nudge();
  }

  /** Forgets what is over: failures of servers that are well or gone, kinds of which nobody waits. */
  #forget(servers: readonly WaveServer[]): void {
    const found = new Map(servers.map((server) => [server.name, server]));
    for (const name of this.#failures.keys()) {
      const server = found.get(name);
      if (server === undefined || (server.isWell && server.isInRotation && !server.isWaiting)) this.#failures.delete(name);
    }
    for (const name of this.#lastMs.keys()) if (!found.has(name)) this.#lastMs.delete(name);
    const waiting = new Set(servers.filter(({ isWaiting }) => isWaiting).map(kindOf));
    for (const kind of this.#tried) if (!waiting.has(kind)) this.#tried.delete(kind);
  }

  /** Where something went wrong, only the servers on which it did are tried again, when it is time. */
  #mayTry(server: WaveServer): boolean {
    const ofKind = [...this.#failures.values()].filter(({ kind }) => kind === kindOf(server));
    if (ofKind.length === 0) return true;
    const own = this.#failures.get(server.name);
    return own !== undefined && own.againAtMs <= this.#clock.elapsedMs();
  }

  async #servers(): Promise<WaveServer[]> {
    const { store, fabric } = this.#options;
    const registry = fabric.registry();
    return (await listServerRows(store))
      .filter(({ state }) => state === "present")
      .map(({ name, roles, cluster, fence }) => {
        const status = registry.get(name);
        const isThere = status !== undefined && wrongClock(fabric, name) === null;
        const isWell = isThere && status.faults.every(({ code }) => code === NEEDS_RESTART);
        return { name, roles, cluster, isThere, isWell, isWaiting: this.#isWaiting(name), isInRotation: fence === null };
      });
  }

  async #restart(name: ServerName, servers: readonly WaveServer[], signal: AbortSignal): Promise<void> {
    const { log, fabric } = this.#options;
    const server = servers.find((one) => one.name === name);
    if (server === undefined) return;
    const { restarts: units = [] } = fabric.registry().get(name) ?? {};
    const failure = this.#failures.get(name);
    log.info({ server: name, units }, "its turn to restart");
    try {
      const lastMs = this.#lastMs.get(name) ?? Number.NEGATIVE_INFINITY;
      if (failure === undefined && this.#clock.elapsedMs() - lastMs < AGAIN_MS)
        throw new Fault("wave.again", `it has ${units.join(", ")} to restart again so soon`);
      await this.#restartAlone(server, peersOf(server, servers).length > 0, signal);
      this.#lastMs.set(name, this.#clock.elapsedMs());
      this.#tried.add(kindOf(server));
      // Over when it is well, and waits no more; until then it is not tried again at once.
      if (failure !== undefined) this.#fail(server, failure.why);
    } catch (thrown) {
      // Who leads next may go on with it: it stays out of rotation until then.
      if (signal.aborted) return;
      this.#fail(server, reportFault(thrown).message);
    }
    this.#mayReturn(name);
  }

  #fail(server: WaveServer, why: string): void {
    const times = (this.#failures.get(server.name)?.times ?? 0) + 1;
    const pauseMs = Math.min(this.#timing.retryMs * 2 ** (times - 1), LONGEST_RETRY_MS);
    this.#failures.set(server.name, { kind: kindOf(server), why, times, againAtMs: this.#clock.elapsedMs() + pauseMs });
    this.#options.log.warn({ server: server.name, fault: why }, "wave stopped");
  }

  async #restartAlone(server: WaveServer, hasPeers: boolean, signal: AbortSignal): Promise<void> {
    const { name, cluster, roles } = server;
    const { fabric, rotation } = this.#options;
    const hasVisitors = cluster !== null && hasPeers && (roles.includes("cache") || roles.includes("box"));
    if (hasVisitors) {
      this.#restarting.add(name);
      await rotation.fence(cluster, [{ server: name, reason: RESTART_FENCE, deployment: null }], signal);
      if (!(await this.#areOthersServing(server))) throw new Fault("wave.alone", "no other one of its cluster gets visitors at the moment");
    }
    const before = new Set(
      fabric
        .registry()
        .get(name)
        ?.faults.map(({ resource }) => resource),
    );
    const [answer] = await fabric.askAll(restartUnits, [name], {}, { signal });
    this.#mayReturn(name);
    if (answer?.fault !== undefined) throw new Fault(answer.fault.code, answer.fault.message);
    const fault = answer?.output?.faults.find(({ resource }) => !before.has(resource));
    if (fault !== undefined) throw new Fault("wave.failed", `${fault.resource}: ${fault.message}`);
    if (hasVisitors) await this.#untilInRotation(server, signal);
    if (roles.includes("broker")) await this.#untilBrokersAreWell(signal);
  }

  #mayReturn(name: ServerName): void {
    if (this.#restarting.delete(name)) this.#options.rotation.nudge();
  }

  /** A deployment may have fenced another one in the same moment. */
  async #areOthersServing({ name, cluster, roles }: WaveServer): Promise<boolean> {
    const kind = kindOf({ roles });
    const rows = await listServerRows(this.#options.store);
    return rows.some(
      (row) => row.name !== name && row.cluster === cluster && kindOf(row) === kind && row.state === "present" && row.fence === null,
    );
  }

  /** Visitors are sent to it again, and who sends them knows of it. */
  async #untilInRotation({ name, cluster, roles }: WaveServer, signal: AbortSignal): Promise<void> {
    const { store, fabric } = this.#options;
    const deadlineMs = this.#clock.elapsedMs() + this.#timing.returnMs;
    const sends = (row: ServerRow): boolean =>
      roles.includes("cache") ? row.roles.includes("edge") : row.cluster === cluster && row.roles.includes("cache");
    for (;;) {
      const rows = await listServerRows(store);
      const own = rows.find((row) => row.name === name);
      // It was deleted.
      if (own?.state !== "present") return;
      if (own.fence === null) {
        const senders = rows.filter((row) => sends(row) && row.state === "present" && row.fence === null).map((row) => row.name);
        const wait = { clock: this.#clock, timeoutMs: this.#timing.confirmMs, signal };
        if ((await waitForGenerations({ store, fabric }, senders, wait)).length === 0) return;
      }
      if (this.#clock.elapsedMs() > deadlineMs) throw new Fault("wave.failed", "it was not in rotation again in time");
      await this.#clock.sleep(RETURN_LOOK_MS, signal);
    }
  }

  /** Two of three that are away at once would keep everybody from storing anything. */
  async #untilBrokersAreWell(signal: AbortSignal): Promise<void> {
    const deadlineMs = this.#clock.elapsedMs() + this.#timing.returnMs;
    await this.#clock.sleep(this.#timing.brokerNewsMs, signal);
    while (!this.#options.areBrokersWell()) {
      if (this.#clock.elapsedMs() > deadlineMs) throw new Fault("wave.failed", "the brokers were not all ready again in time");
      await this.#clock.sleep(RETURN_LOOK_MS, signal);
    }
  }
}

const RETURN_LOOK_MS = 300;
