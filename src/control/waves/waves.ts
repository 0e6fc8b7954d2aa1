import { type Clock, systemClock } from "#base/clock.ts";
import { Fault, reportFault } from "#base/fault.ts";
import type { Log } from "#base/log.ts";
import { type Loop, loop } from "#base/loop.ts";
import { restartUnits } from "#contract/actions/server.ts";
import type { ServerName } from "#contract/names.ts";
import type { ControlFabric } from "#fabric/fabric.ts";
import { waitForGenerations } from "../rotation/generations.ts";
import type { Rotation } from "../rotation/rotation.ts";
import type { Store } from "../store/schema.ts";
import { listServerRows } from "../store/servers.ts";
import { wrongClock } from "../wrong-clock.ts";
import { type Kind, kindOf, peersOf, pickNext, type WaveServer } from "./pick.ts";

/** The times of waves; tests shorten them. */
export interface WaveTiming {
  /** How often it is looked whether servers wait. */
  readonly lookMs: number;
  /** How long a server may take to be in rotation again. */
  readonly returnMs: number;
  /** How long who sends visitors to it may take to do so again. */
  readonly confirmMs: number;
}

const WAVE_TIMING: WaveTiming = { lookMs: 10_000, returnMs: 120_000, confirmMs: 30_000 };

export interface WaveOptions {
  readonly store: Store;
  readonly fabric: ControlFabric;
  readonly rotation: Pick<Rotation, "fence" | "nudge">;
  readonly log: Log;
  readonly timing?: Partial<WaveTiming>;
  readonly clock?: Clock;
}

/**
 * Restarts what changes of configuration need restarted, in steps that visitors do not notice: a cache or a box gets no
 * visitors meanwhile, another one of its cluster serves, and the next step begins when it is in rotation again. What goes
 * wrong on one server stops its kind until that server is well.
 */
export class Waves {
  readonly #options: WaveOptions;
  readonly #timing: WaveTiming;
  readonly #clock: Clock;
  readonly #loop: Loop;
  readonly #restarting = new Set<ServerName>();
  /** Kinds of which one server has done it. */
  readonly #tried = new Set<Kind>();
  /** Servers that were not well after it, and why. */
  readonly #failed = new Map<ServerName, string>();
  #unsubscribe: () => void = () => undefined;

  constructor(options: WaveOptions) {
    const { log, timing, clock = systemClock } = options;
    this.#options = options;
    this.#timing = { ...WAVE_TIMING, ...timing };
    this.#clock = clock;
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

  /** Whether a server is about to restart something: it stays out of rotation until it has. */
  isRestarting(server: ServerName): boolean {
    return this.#restarting.has(server);
  }

  /** Servers at which a wave has stopped, a line each. */
  troubles(): string[] {
    return [...this.#failed].map(
      ([server, why]) =>
        `the restarts of servers like ${server} have stopped, as it went wrong there: ${why} (→ when ${server} is ready they go on)`,
    );
  }

  #isAnyWaiting(): boolean {
    return [...this.#options.fabric.registry().values()].some(({ restarts = [] }) => restarts.length > 0);
  }

  async #step(signal: AbortSignal): Promise<void> {
    const servers = await this.#servers();
    for (const { name, isWell, isWaiting } of servers) if (isWell && !isWaiting) this.#failed.delete(name);
    if (!servers.some(({ isWaiting }) => isWaiting)) {
      this.#tried.clear();
      return;
    }
    const stopped = new Set(servers.filter(({ name }) => this.#failed.has(name)).map(kindOf));
    const next = pickNext(servers, { tried: this.#tried, stopped });
    await Promise.all(next.map((name) => this.#restart(name, servers, signal)));
    signal.throwIfAborted();
    if (next.length > 0) this.#loop.nudge();
  }

  async #servers(): Promise<WaveServer[]> {
    const { store, fabric } = this.#options;
    const registry = fabric.registry();
    return (await listServerRows(store))
      .filter(({ state }) => state === "present")
      .map(({ name, roles, cluster, fence }) => {
        const status = registry.get(name);
        const isThere = status !== undefined && wrongClock(fabric, name) === null;
        const isWell = isThere && status.faults.length === 0;
        return { name, roles, cluster, isThere, isWell, isWaiting: (status?.restarts?.length ?? 0) > 0, isInRotation: fence === null };
      });
  }

  async #restart(name: ServerName, servers: readonly WaveServer[], signal: AbortSignal): Promise<void> {
    const { log } = this.#options;
    const server = servers.find((one) => one.name === name);
    if (server === undefined) return;
    const units = this.#options.fabric.registry().get(name)?.restarts ?? [];
    log.info({ server: name, units }, "its turn to restart");
    try {
      await this.#restartAlone(server, peersOf(server, servers).length > 0, signal);
      this.#tried.add(kindOf(server));
    } catch (thrown) {
      if (signal.aborted) return;
      const { message } = reportFault(thrown);
      this.#failed.set(name, message);
      log.warn({ server: name, fault: message }, "wave stopped");
    } finally {
      this.#mayReturn(name);
    }
  }

  async #restartAlone(server: WaveServer, hasPeers: boolean, signal: AbortSignal): Promise<void> {
    const { name, cluster, roles } = server;
    const hasVisitors = cluster !== null && hasPeers && (roles.includes("cache") || roles.includes("box"));
    if (hasVisitors) {
      this.#restarting.add(name);
      await this.#options.rotation.fence(cluster, [{ server: name, reason: "it restarts for a change", deployment: null }], signal);
    }
    const before = new Set(
      this.#options.fabric
        .registry()
        .get(name)
        ?.faults.map(({ resource }) => resource),
    );
    const [answer] = await this.#options.fabric.askAll(restartUnits, [name], {}, { signal });
    this.#mayReturn(name);
    if (answer?.fault !== undefined) throw new Fault(answer.fault.code, answer.fault.message);
    const fault = answer?.output?.faults.find(({ resource }) => !before.has(resource));
    if (fault !== undefined) throw new Fault("wave.failed", `${fault.resource}: ${fault.message}`);
    if (hasVisitors) await this.#untilInRotation(server, signal);
  }

  #mayReturn(name: ServerName): void {
    if (this.#restarting.delete(name)) this.#options.rotation.nudge();
  }

  /** Visitors are sent to it again, and who sends them knows of it. */
  async #untilInRotation({ name, cluster, roles }: WaveServer, signal: AbortSignal): Promise<void> {
    const { store, fabric } = this.#options;
    const deadlineMs = this.#clock.elapsedMs() + this.#timing.returnMs;
    for (;;) {
      const rows = await listServerRows(store);
      if (rows.find((row) => row.name === name)?.fence === null) {
        const senders = rows.filter((row) =>
          roles.includes("cache") ? row.roles.includes("edge") : row.cluster === cluster && row.roles.includes("cache"),
        );
        const names = senders.filter(({ state, fence }) => state === "present" && fence === null).map((row) => row.name);
        const wait = { clock: this.#clock, timeoutMs: this.#timing.confirmMs, signal };
        if ((await waitForGenerations({ store, fabric }, names, wait)).length === 0) return;
      }
      if (this.#clock.elapsedMs() > deadlineMs) throw new Fault("wave.failed", "it was not in rotation again in time");
      await this.#clock.sleep(RETURN_LOOK_MS, signal);
    }
  }
}

const RETURN_LOOK_MS = 300;
