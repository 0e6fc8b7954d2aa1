import { type Clock, systemClock, timestamp } from "#base/clock.ts";
import { Fault, reportFault } from "#base/fault.ts";
import type { Log } from "#base/log.ts";
import { type Loop, loop } from "#base/loop.ts";
import type { ServerChange } from "#contract/events.ts";
import type { ClusterId, ServerName } from "#contract/names.ts";
import type { ControlFabric } from "#fabric/fabric.ts";
import { addFences, type NewFence, type Releases, removeFence } from "../store/fences.ts";
import type { Store } from "../store/schema.ts";
import { listServerRows, type ServerRow } from "../store/servers.ts";
import { listGenerations } from "../store/specs.ts";
import { wrongClock } from "../wrong-clock.ts";
import { waitForGenerations } from "./generations.ts";
import { answersFor, hasLetGo, serves } from "./probe.ts";

/** The times of the rotation; tests shorten them. */
export interface RotationTiming {
  /** How long a cache or an edge may take to confirm that it sends nobody to a fenced server. */
  readonly confirmMs: number;
  /** How often fenced servers are looked at when nothing is heard of them. */
  readonly lookMs: number;
  /** Pause before a server is looked at again that could not return because of a deployment. */
  readonly againMs: number;
}

const ROTATION_TIMING: RotationTiming = { confirmMs: 10_000, lookMs: 5_000, againMs: 150 };

export interface RotationOptions {
  readonly store: Store;
  readonly fabric: ControlFabric;
  readonly log: Log;
  /** Plans the rows as they are now; resolves when the new generations are known, and delivers them. Throws when it cannot. */
  readonly plan: () => Promise<void>;
  /** Whether a fenced server is about to restart something, and so stays fenced; never by default. */
  readonly keepsFenced?: (row: ServerRow) => boolean;
  readonly timing?: Partial<RotationTiming>;
  readonly clock?: Clock;
}

/**
 * Which servers visitors are sent to. Caches leave fenced boxes out, edges leave fenced caches out: so it stands in their
 * specs, and they have confirmed it when they have reached that generation. A fenced server returns by itself when it has
 * converged, serves the releases that its cluster serves, and no deployment is between its switch and its end.
 */
export class Rotation {
  readonly #options: RotationOptions;
  readonly #timing: RotationTiming;
  readonly #clock: Clock;
  readonly #returning: Loop;
  readonly #unsubscribe: () => void;
  #areFenced = false;
  #cancelAgain: () => void = () => undefined;

  constructor(options: RotationOptions) {
    const { fabric, log, timing, clock = systemClock } = options;
    this.#options = options;
    this.#clock = clock;
    this.#timing = { ...ROTATION_TIMING, ...timing };
    const onFault = (thrown: unknown): void => log.error({ fault: reportFault(thrown) }, "fenced servers are not looked at");
    this.#returning = loop({ everyMs: this.#timing.lookMs, work: () => this.#takeBack(), onFault, clock });
    this.#unsubscribe = fabric.onRegistryChange(() => {
      if (this.#areFenced) this.#returning.nudge();
    });
  }

  start(): void {
    this.#returning.start();
  }

  async stop(): Promise<void> {
    this.#unsubscribe();
    this.#cancelAgain();
    await this.#returning.stop();
  }

  /** A fenced server may be right by now. */
  nudge(): void {
    this.#returning.nudge();
  }

  /**
   * Resolves when nobody sends visitors to the fenced servers of a cluster any more. A cache that does not confirm is fenced
   * itself when another has. Throws Fault "rotation.unconfirmed" when that cannot be had.
   */
  async confirm(cluster: ClusterId, signal: AbortSignal): Promise<void> {
    this.#areFenced = true;
    await this.#options.plan();
    const servers = (await listServerRows(this.#options.store)).filter(({ state }) => state === "present");
    const caches = servers.filter((server) => server.cluster === cluster && server.roles.includes("cache"));
    const inRotation = caches.filter(({ fence }) => fence === null).map(({ name }) => name);
    const late = await this.#wait(inRotation, signal);
    if (late.length === inRotation.length && late.length > 0) throw unconfirmed(late);
    await this.#fenceLate(late);
    if (late.length === 0 && inRotation.length === caches.length) return;
    const edges = servers.filter(({ roles }) => roles.includes("edge")).map(({ name }) => name);
    const deaf = await this.#wait(edges, signal);
    if (deaf.length > 0) throw unconfirmed(deaf);
  }

  /** Fences caches or boxes of a cluster, of which another one must be left, and waits until who sends visitors to them has confirmed it. */
  async fence(cluster: ClusterId, fences: readonly NewFence[], signal: AbortSignal): Promise<void> {
    await this.tell(await addFences(this.#options.store, fences), fences);
    await this.confirm(cluster, signal);
  }

  /** Tells everybody of fences that are new. */
  async tell(added: readonly ServerName[], fences: readonly { readonly server: ServerName; readonly reason: string }[]): Promise<void> {
    for (const { server, reason } of fences) if (added.includes(server)) await this.#publish(server, { what: "fenced", reason });
  }

  async #fenceLate(late: readonly ServerName[]): Promise<void> {
    if (late.length === 0) return;
    const reason = "it has not confirmed which boxes visitors may be sent to";
    const fences = late.map((server) => ({ server, reason, deployment: null }));
    await this.tell(await addFences(this.#options.store, fences), fences);
    await this.#options.plan();
  }

  #wait(servers: readonly ServerName[], signal: AbortSignal): Promise<ServerName[]> {
    return waitForGenerations(this.#options, servers, { clock: this.#clock, timeoutMs: this.#timing.confirmMs, signal });
  }

  async #takeBack(): Promise<void> {
    const { store } = this.#options;
    const fenced = (await listServerRows(store)).filter(({ fence, state }) => fence !== null && state === "present");
    this.#areFenced = fenced.length > 0;
    if (fenced.length === 0) return;
    const generations = await listGenerations(store);
    for (const row of fenced) await this.#takeBackOne(row, generations.get(row.name) ?? Number.POSITIVE_INFINITY);
  }

  async #takeBackOne(row: ServerRow, generation: number): Promise<void> {
    const { name, cluster, roles } = row;
    const { store, fabric, plan, keepsFenced = () => false } = this.#options;
    const status = fabric.registry().get(name);
    if (cluster === null || status === undefined || status.faults.length > 0 || status.generation < generation) return;
    if (wrongClock(fabric, name) !== null || keepsFenced(row)) return;
    const isCache = roles.includes("cache");
    if (!isCache && !(await answersFor(fabric, name, Object.keys(status.releases)))) return;
    // Also whether it is kept: it may be about to restart something since it was looked at.
    const isRight = async (releases: Releases): Promise<boolean> =>
      !keepsFenced(row) && (await (isCache ? hasLetGo : serves)(fabric, name, releases)) && !keepsFenced(row);
    const outcome = await removeFence(store, { server: name, cluster }, isRight);
    if (outcome === "busy") this.#lookAgainSoon();
    if (outcome !== "removed") return;
    // Said at once: a deployment that fences it again, while this is planned, says so after it.
    const saying = this.#publish(name, { what: "unfenced" });
    await plan();
    await saying;
  }

  #lookAgainSoon(): void {
    this.#cancelAgain();
    this.#cancelAgain = this.#clock.after(this.#timing.againMs, () => this.#returning.nudge());
  }

  async #publish(server: ServerName, change: ServerChange): Promise<void> {
    const { fabric, log } = this.#options;
    log.info({ server, ...change }, "rotation changed");
    await fabric
      .publishEvent({ kind: "server", at: timestamp(this.#clock), server, change })
      .catch((thrown: unknown) => log.warn({ server, fault: reportFault(thrown) }, "event not published"));
  }
}

function unconfirmed(servers: readonly ServerName[]): Fault {
  const names = servers.join(", ");
  return new Fault("rotation.unconfirmed", `${names} ${servers.length === 1 ? "has" : "have"} not confirmed whom visitors are sent to`, {
    next: "see what is wrong with: boxyard server list",
  });
}
