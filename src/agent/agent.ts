import { type Clock, systemClock, timestamp } from "#base/clock.ts";
import { reportFault } from "#base/fault.ts";
import type { Log } from "#base/log.ts";
import { type Loop, loop } from "#base/loop.ts";
import { findOperatorAction } from "#contract/actions/operator.ts";
import { converge, ping, restartUnits, status } from "#contract/actions/server.ts";
import type { Enrolment } from "#contract/enrolment.ts";
import type { UnitsEvent } from "#contract/events.ts";
import type { CommitId, Timestamp, WebsiteId } from "#contract/names.ts";
import type { ServerSpec } from "#contract/spec/server.ts";
import { HEARTBEAT_MS, type ServerStatus } from "#contract/status.ts";
import type { AgentFabric } from "#fabric/fabric.ts";
import { mayAsk } from "#fabric/policy.ts";
import { matches, type TargetView } from "#fabric/targets/match.ts";
import { commonGroup } from "./common.ts";
import type { Resource, ResourceGroup } from "./converge/resource.ts";
import { convergeGroups, type Outcome } from "./converge/runner.ts";
import { UnitWatch } from "./converge/unit-watch.ts";
import { readFacts } from "./facts.ts";
import { Ledger } from "./ledger.ts";
import { logGroup } from "./logs.ts";
import { answerOperators } from "./operate/answers.ts";
import { targetView } from "./operate/target-view.ts";
import type { RoleContext, RunningRole } from "./roles/role.ts";
import { type RoleName, roles } from "./roles.ts";

/** News comes by nudge; this is for what is changed by hand. A turn costs tens of milliseconds, on every server of a host. */
const CONVERGE_EVERY_MS = 5 * 60_000;
/** A turn with faults is repeated after this long, after twice as long each time it fails again, up to LONGEST_RETRY_MS. */
const FIRST_RETRY_MS = 1_000;
const LONGEST_RETRY_MS = 10_000;
/** Heartbeats tell the load and the free space of this long ago at most; who asks gets them new. */
const FACTS_MAX_AGE_MS = 10_000;
const NOTHING: Outcome = { changed: [], faults: [], websiteFaults: [], restarts: [] };

export interface AgentOptions {
  readonly log: Log;
  /** Ends the process, which its supervisor starts again. */
  readonly restart: () => void;
  readonly ledger?: Ledger;
  /** What a server can carry; Boxyard's roles by default. */
  readonly roles?: typeof roles;
  /** What every server has beside its roles. */
  readonly common?: typeof commonGroups;
  readonly facts?: typeof readFacts;
  /** Where systemd keeps its links to running units; see UnitWatch. */
  readonly unitLinks?: string;
  readonly clock?: Clock;
}

/** One server's agent: reads its spec, converges to it, says how far it is. */
export class Agent {
  readonly #enrolment: Enrolment;
  readonly #fabric: AgentFabric;
  readonly #log: Log;
  readonly #ledger: Ledger;
  readonly #restart: () => void;
  readonly #roles: typeof roles;
  readonly #common: typeof commonGroups;
  readonly #facts: typeof readFacts;
  readonly #clock: Clock;
  readonly #running = new Map<RoleName, RunningRole<unknown>>();
  readonly #startedAt: Timestamp;
  readonly #units: UnitWatch;
  readonly #turns: Loop;
  readonly #heartbeats: Loop;
  #spec: ServerSpec | null = null;
  #isConfirmed = false;
  #statusCount = 0;
  #reached = 0;
  #outcome = NOTHING;
  #retryMs = FIRST_RETRY_MS;
  #cancelRetry: () => void = () => undefined;
  #turnUnderWay: Promise<void> = Promise.resolve();
  #reportedFaults = "[]";

  constructor(enrolment: Enrolment, fabric: AgentFabric, options: AgentOptions) {
    const { log, restart, ledger = new Ledger(), clock = systemClock } = options;
    this.#restart = restart;
    this.#roles = options.roles ?? roles;
    this.#common = options.common ?? commonGroups;
    this.#facts = options.facts ?? readFacts;
    this.#clock = clock;
    this.#startedAt = timestamp(clock);
    this.#enrolment = enrolment;
    this.#fabric = fabric;
    this.#log = log;
    this.#ledger = ledger;
    this.#units = new UnitWatch({
      onEnded: () => this.#turns.nudge(),
      onRestarted: (units) => this.#publishUnits("restarted", units),
      ...(options.unitLinks === undefined ? {} : { directory: options.unitLinks }),
      clock,
    });
    const onFault = (thrown: unknown): void => log.error({ fault: reportFault(thrown) }, "turn failed");
    this.#turns = loop({ work: (signal) => this.#nextTurn(signal), everyMs: CONVERGE_EVERY_MS, onFault, clock });
    this.#heartbeats = loop({ work: () => this.#beat(), everyMs: HEARTBEAT_MS, onFault: () => undefined, clock });
  }

  async start(): Promise<void> {
    this.#spec = await this.#ledger.readSpec();
    this.#fabric.selectBy(async (target) => matches(target, await this.#targetView()));
    this.#fabric.allowBy(async (caller, action) => {
      const { policy } = this.#spec ?? { policy: {} };
      return findOperatorAction(action) !== undefined && mayAsk(policy, { caller, action }, () => this.#targetView());
    });
    this.#fabric.answer(ping, async () => ({ at: timestamp(this.#clock), generation: this.#reached }));
    this.#fabric.answer(status, () => this.#status());
    const endOfTurn = () => ({
      generation: this.#reached,
      faults: this.#outcome.faults.map(({ resource, message }) => ({ resource, message })),
    });
    this.#fabric.answer(converge, async (_, { signal }) => {
      await this.#nextTurn(signal);
      return endOfTurn();
    });
    this.#fabric.answer(restartUnits, async (_, { signal }) => {
      await this.#nextTurn(signal, { mayRestart: true });
      return endOfTurn();
    });
    answerOperators(this.#fabric, { startedAt: this.#startedAt, restart: this.#restart });
    this.#fabric.onNudge(() => {
      // It may have been missed: that it is back is known at once.
      this.#heartbeats.nudge();
      this.#turns.nudge();
    });
    // Roles look at what is there before the bus is waited for.
    if (this.#spec !== null) await this.#roleGroups(this.#spec);
    this.#units.start();
    this.#turns.start();
    this.#heartbeats.start();
    void this.#fabric.rehearse(ping, {});
  }

  async stop(): Promise<void> {
    this.#cancelRetry();
    this.#units.stop();
    await this.#turns.stop();
    await this.#heartbeats.stop();
    for (const role of this.#running.values()) await role.stop();
    await this.#fabric.close();
  }

  /** One turn after the other: the loop's own, and those that the action asks for. */
  #nextTurn(signal: AbortSignal, { mayRestart = false } = {}): Promise<void> {
    const turn = this.#turnUnderWay.then(() => this.#turn(signal, mayRestart));
    this.#turnUnderWay = turn.catch(() => undefined);
    return turn;
  }

  async #turn(signal: AbortSignal, mayRestart: boolean): Promise<void> {
    signal.throwIfAborted();
    const hasNewest = await this.#refreshSpec();
    const spec = this.#spec;
    if (spec === null) return this.#retryUnless(hasNewest);
    const groups = [...this.#common(this.#enrolment, spec), ...(await this.#roleGroups(spec))];
    const needed = groups.flatMap(({ resources }) => resources.flatMap((resource) => resource.unit ?? []));
    const { outcome, started } = await this.#units.turn(needed, () => convergeGroups(groups, signal, { mayRestart }));
    this.#outcome = outcome;
    if (outcome.faults.length === 0) this.#reached = spec.generation;
    this.#tellRoles();
    this.#retryUnless(hasNewest && outcome.faults.length === 0);
    this.#heartbeats.nudge();
    this.#report(spec, outcome);
    this.#publishUnits("started", started);
  }

  #retryUnless(isDone: boolean): void {
    this.#cancelRetry();
    if (!isDone) this.#cancelRetry = this.#clock.after(this.#retryMs, () => this.#turns.nudge());
    this.#retryMs = isDone ? FIRST_RETRY_MS : Math.min(this.#retryMs * 2, LONGEST_RETRY_MS);
  }

  /** The bus first, the disk when the bus is away. False when the bus is there and could not be asked. */
  async #refreshSpec(): Promise<boolean> {
    // The bus nudges when it is back.
    if (!this.#fabric.isConnected()) return true;
    try {
      await this.#take(await this.#fabric.readSpec());
      if (this.#spec !== null) await this.#fabric.useBrokers(this.#spec.brokers);
      return true;
    } catch (thrown) {
      this.#log.warn({ fault: reportFault(thrown) }, "spec not read");
      return false;
    }
  }

  async #take(spec: ServerSpec | null): Promise<void> {
    const known = this.#spec?.generation ?? 0;
    if (spec === null) return;
    // Signed, but of another day: a broker that gives it out again would undo what came after it.
    if (spec.generation < known) return this.#log.warn({ known, given: spec.generation }, "older spec refused");
    this.#isConfirmed = true;
    if (spec.generation > known) this.#spec = spec;
    this.#tellRoles();
    if (spec.generation === known) return;
    // A full disk must not keep a server from its spec; it is stored again with the next change.
    await this.#ledger.writeSpec(spec).catch((thrown: unknown) => this.#log.warn({ fault: reportFault(thrown) }, "spec not stored"));
  }

  #tellRoles(): void {
    for (const role of this.#running.values()) role.look?.();
  }

  async #roleGroups(spec: ServerSpec): Promise<ResourceGroup[]> {
    const groups: ResourceGroup[] = [];
    for (const name of Object.keys(spec.roles) as RoleName[]) groups.push(...(await this.#groupsOf(name, spec)));
    return groups;
  }

  /** A role that cannot begin is a fault of its own: the server's other roles go on. */
  async #groupsOf(name: RoleName, spec: ServerSpec): Promise<ResourceGroup[]> {
    const part = spec.roles[name];
    if (part === undefined) return [];
    try {
      return (await this.#runningRole(name)).groups(part, spec);
    } catch (thrown) {
      return [{ name, resources: [broken(`role ${name}`, thrown)] }];
    }
  }

  async #runningRole(name: RoleName): Promise<RunningRole<unknown>> {
    const running = this.#running.get(name);
    if (running !== undefined) return running;
    const start = await this.#roles[name]();
    const started = (await start(this.#context(name))) as RunningRole<unknown>;
    this.#running.set(name, started);
    return started;
  }

  #context(name: RoleName): RoleContext {
    return {
      enrolment: this.#enrolment,
      fabric: this.#fabric,
      log: this.#log.child({ role: name }),
      nudge: () => this.#turns.nudge(),
      beat: () => this.#heartbeats.nudge(),
      currentSpec: () => this.#spec,
      isConfirmed: () => this.#isConfirmed,
      isConverged: () => this.#spec !== null && this.#reached === this.#spec.generation && this.#outcome.faults.length === 0,
    };
  }

  async #beat(): Promise<void> {
    if (this.#fabric.isConnected()) await this.#fabric.putStatus(await this.#status(FACTS_MAX_AGE_MS));
  }

  async #targetView(): Promise<TargetView> {
    const { server, facts, releases } = await this.#status();
    return targetView({ server, spec: this.#spec, facts, releases });
  }

  async #status(factsMaxAgeMs = 0): Promise<ServerStatus> {
    const releases: Record<WebsiteId, CommitId | null> = {};
    for (const role of this.#running.values()) Object.assign(releases, role.releases?.());
    return {
      server: this.#enrolment.server,
      at: timestamp(this.#clock),
      startedAt: this.#startedAt,
      count: ++this.#statusCount,
      generation: this.#reached,
      targetGeneration: this.#spec?.generation ?? 0,
      roles: [...this.#running.keys()],
      faults: [...this.#outcome.faults],
      websiteFaults: [...this.#outcome.websiteFaults],
      restarts: [...this.#outcome.restarts],
      releases,
      facts: { ...(await this.#facts(factsMaxAgeMs)), "fabric.refused": this.#fabric.refused() },
    };
  }

  /** Tells what is new: changes, and faults that the last turn did not have. */
  #report(spec: ServerSpec, { changed, faults, websiteFaults }: Outcome): void {
    const known = this.#reportedFaults;
    this.#reportedFaults = JSON.stringify([faults, websiteFaults]);
    if (changed.length === 0 && this.#reportedFaults === known) return;
    this.#log.info({ generation: spec.generation, changed, faults, websiteFaults }, "converged");
    const event = { kind: "converged" as const, at: timestamp(this.#clock), server: this.#enrolment.server, generation: spec.generation };
    const ofWebsites = websiteFaults.map(({ website, resource, message }) => ({ resource: `${website}: ${resource}`, message }));
    const reported = [...faults.map(({ resource, message }) => ({ resource, message })), ...ofWebsites];
    this.#fabric.publishEvent({ ...event, changed: [...changed], faults: reported }).catch(() => undefined);
  }

  #publishUnits(how: UnitsEvent["how"], units: readonly string[]): void {
    if (units.length === 0) return;
    this.#log.warn({ units }, `units ${how}`);
    const event = { kind: "units" as const, at: timestamp(this.#clock), server: this.#enrolment.server };
    this.#fabric.publishEvent({ ...event, how, units: [...units] }).catch(() => undefined);
  }
}

/** Stands for what a role could not even say that it wants. */
function broken(id: string, thrown: unknown): Resource {
  return { id, mismatch: () => Promise.reject(thrown), apply: () => Promise.reject(thrown) };
}

/** What every server has, whatever its roles. */
function commonGroups(enrolment: Enrolment, spec: ServerSpec): ResourceGroup[] {
  return [commonGroup(enrolment, spec), logGroup()];
}
