import type { z } from "zod";
import { Channel } from "#base/channel.ts";
import { microsOf, timestamp } from "#base/clock.ts";
import type { FaultReport } from "#base/fault.ts";
import type { Action } from "#contract/action.ts";
import { runBuild } from "#contract/actions/build.ts";
import { banPages, holdRequests, letGo } from "#contract/actions/cache.ts";
import { restoreDatabases, snapshotDatabases } from "#contract/actions/database.ts";
import { findCommit, settlePush } from "#contract/actions/git.ts";
import { endHook, runHook } from "#contract/actions/hook.ts";
import { probe, stage, switchTo, withdraw } from "#contract/actions/release.ts";
import { status } from "#contract/actions/server.ts";
import type { HookName, Procedure } from "#contract/boxfile.ts";
import { eventLine } from "#contract/event-line.ts";
import type { DeploymentEvent } from "#contract/events.ts";
import type { CommitId, ServerName, WebsiteId } from "#contract/names.ts";
import type { Push } from "#contract/push.ts";
import type { ServerSpec } from "#contract/spec/server.ts";
import type { WebsiteOnServer } from "#contract/spec/website.ts";
import type { ServerStatus } from "#contract/status.ts";
import type { Answer, AskOptions, ControlFabric } from "#fabric/fabric.ts";
import { isCacheOf, SimulatedVisitors } from "./simulated-visitors.ts";
import type { VirtualClock } from "./virtual-clock.ts";

/** What a server does with a request: refuses it, is not there, does not do it, does it late, does it twice, or does it; `mute` ones say nothing. */
export type Behaviour = "ok" | "refuses" | "away" | "deaf" | "mute" | "late-and-mute" | "twice";

/** A request that reached the yard, in the order of asking. */
export interface Asked {
  readonly at: string;
  readonly server: ServerName;
  readonly action: string;
  readonly website: WebsiteId;
  readonly release: CommitId | null;
}

/** Servers without a network: they stage, switch and answer in memory, each request as the script says. */
export class SimulatedYard {
  /** What each server has live of each website. */
  readonly live = new Map<string, CommitId | null>();
  readonly asked: Asked[] = [];
  readonly events: DeploymentEvent[] = [];
  /** The lines of events about servers. */
  readonly serverLines: string[] = [];
  /** How the git server was told that pushes ended. */
  readonly settled = new Map<string, boolean[]>();
  /** The release whose pages each cache kept at its last ban. */
  readonly kept = new Map<string, CommitId | null>();
  /** Of every release; they take so many looks, and fail where told. */
  hooks: HookName[] = [];
  hookLooks = 2;
  readonly #looks = new Map<string, number>();
  readonly failingHooks = new Set<HookName>();
  readonly endlessHooks = new Set<HookName>();
  /** What hooks say; null for the usual. */
  hookLines: string[] | null = null;
  /** How builds end; each takes two looks. */
  isBuildFailing = false;
  /** Commits of which nothing is built. */
  readonly unbuilt = new Set<CommitId>();
  /** Of every release. */
  holdSeconds: number | null = null;
  snapshotsDatabases = false;
  /** The release whose update came last to each database. */
  readonly databases = new Map<string, CommitId>();
  /** Deployments whose update goes on, and those where it was ended. */
  readonly #updating = new Set<number>();
  readonly #ended = new Set<number>();
  readonly #snapshots = new Map<string, CommitId | undefined>();
  /** Until when visitors of a website wait at a cache, in microseconds. */
  readonly #heldUntil = new Map<string, number>();
  /** Front pages that answer with another status than 200. */
  readonly statuses = new Map<string, number>();
  /** The boxes that each cache sends visitors to; absent before it has a spec. */
  readonly rotation = new Map<ServerName, readonly ServerName[]>();
  readonly visitors = new SimulatedVisitors(this);
  /** By how much servers' clocks are ahead, in milliseconds. */
  readonly clockOffsets = new Map<ServerName, number>();
  /** Nobody waits longer for a server that says nothing. */
  longestMs = Number.POSITIVE_INFINITY;
  readonly #statuses = new Map<ServerName, ServerStatus>();
  readonly #listeners = new Set<() => void>();
  /** Specs that servers have not reached. */
  readonly #specs = new Map<ServerName, ServerSpec>();
  /** The decision by which each website was last switched on each server. */
  readonly #switchedBy = new Map<string, number>();
  readonly #staged = new Set<string>();
  readonly #waiting = new Map<string, Push>();
  readonly #clock: VirtualClock;
  readonly #behaviour: (server: ServerName, action: string, nth: number) => Behaviour;
  readonly #counts = new Map<string, number>();
  #newPush = new AbortController();

  constructor(clock: VirtualClock, behaviour: (server: ServerName, action: string, nth: number) => Behaviour = () => "ok") {
    this.#clock = clock;
    this.#behaviour = behaviour;
  }

  /** The git server hands over a push. */
  push(push: Push): void {
    this.#waiting.set(push.id, push);
    this.#newPush.abort();
  }

  /** A process's end of the fabric; `tick` is called before each use and throws when that process is dead. */
  fabric(tick: () => void = () => undefined): ControlFabric {
    const yard = this;
    async function* ask<I extends z.ZodType, O extends z.ZodType>(
      action: Action<I, O>,
      servers: readonly ServerName[],
      input: z.input<I>,
      { timeoutMs = action.timeoutMs, signal }: AskOptions = {},
    ): AsyncIterable<Answer<z.output<O>>> {
      tick();
      const answers = new Channel<Answer<z.output<O>>>();
      let missing = servers.length;
      if (missing === 0) answers.close();
      for (const server of servers)
        void yard.#answer(server, action.name, input as Input, { timeoutMs, signal }).then((answer) => {
          answers.push({ server, durationMs: 1, ...answer } as Answer<z.output<O>>);
          if (--missing === 0) answers.close();
        });
      for await (const answer of answers) {
        tick();
        yield answer;
      }
    }
    return {
      ask,
      askAll: async (action, servers, input, options) => {
        const answers = [];
        for await (const answer of ask(action, servers, input, options)) answers.push(answer);
        return answers;
      },
      publishEvent: async (event) => {
        tick();
        if (event.kind === "server") {
          this.serverLines.push(eventLine(event));
          this.visitors.noteFence(event);
        }
        if (event.kind !== "deployment") return;
        this.events.push(event);
        this.visitors.visit(event);
      },
      consumePushes: (take, signal) => this.#consume(take, signal),
      putSpec: async (spec) => {
        tick();
        this.#specs.set(spec.server, spec);
        void this.#converge(spec);
      },
      forget: async () => undefined,
      registry: () => this.#statuses,
      lastHeard: () => timestamp(this.#clock),
      heardSince: () => timestamp(this.#clock),
      clockOffsetMs: (server) => this.clockOffsets.get(server) ?? 0,
      onRegistryChange: (listener) => {
        this.#listeners.add(listener);
        return () => this.#listeners.delete(listener);
      },
      readEvents: () => new Channel(),
      listJobs: async () => [],
      consumeRefusals: async () => undefined,
      follow: () => new Channel(),
      isConnected: () => true,
      troubles: () => [],
      close: async () => undefined,
    };
  }

  /** The caches of a website's cluster. */
  cachesOf(website: WebsiteId): ServerName[] {
    return [...this.rotation.keys()].filter((cache) => isCacheOf(website, cache));
  }

  /** Tries until it can, or a newer spec has come. */
  async #converge(spec: ServerSpec): Promise<void> {
    const { server, generation, roles } = spec;
    for (let nth = 0; this.#specs.get(server) === spec; nth++) {
      await this.#clock.sleep(2);
      if (this.#behaviour(server, "converge", nth) !== "ok") continue;
      this.#specs.delete(server);
      if (roles.cache !== undefined)
        this.rotation.set(
          server,
          roles.cache.boxes.map(({ name }) => name),
        );
      for (const website of roles.box?.websites ?? roles.shell?.websites ?? []) this.#follow(`${server} ${website.id}`, website);
      const at = timestamp(this.#clock);
      const status = { server, at, startedAt: at, count: generation, generation, targetGeneration: generation };
      this.#statuses.set(server, { ...status, roles: [], faults: [], releases: {}, facts: {} });
      for (const listener of this.#listeners) listener();
    }
  }

  /** A spec does not undo what a later decision has asked for. */
  #follow(place: string, { release, decision }: WebsiteOnServer): void {
    if (decision < (this.#switchedBy.get(place) ?? 0)) return;
    this.#staged.add(`${place} ${release}`);
    this.live.set(place, release);
  }

  async #consume(take: (push: Push) => Promise<void>, signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      this.#newPush = new AbortController();
      for (const push of this.#waiting.values())
        await take(push).then(
          () => this.#waiting.delete(push.id),
          () => this.#clock.sleep(2),
        );
      const wake = AbortSignal.any([signal, this.#newPush.signal]);
      await this.#clock.sleep(this.#waiting.size > 0 ? 2 : 1_000, wake).catch(() => undefined);
    }
  }

  async #answer(
    server: ServerName,
    action: string,
    input: Input,
    how: { timeoutMs: number; signal: AbortSignal | undefined },
  ): Promise<Outcome> {
    this.asked.push({ at: timestamp(this.#clock), server, action, website: input.website, release: input.release ?? null });
    const nth = this.#counts.get(`${server} ${action}`) ?? 0;
    this.#counts.set(`${server} ${action}`, nth + 1);
    const behaviour = this.#behaviour(server, action, nth);
    if (behaviour === "away") return faulty("fabric.no-server", `${server} is not connected`);
    if (behaviour === "refuses") return faulty("simulated.refused", "no space left on device");
    // The request came twice, as a network may have it.
    if (behaviour === "twice") await this.#act(server, action, input, false);
    const deed = behaviour === "deaf" ? undefined : this.#act(server, action, input, behaviour === "late-and-mute");
    if (deed !== undefined && (behaviour === "ok" || behaviour === "twice")) return deed;
    await this.#clock.sleep(Math.min(how.timeoutMs, this.longestMs), how.signal).catch(() => undefined);
    return faulty("fabric.timed-out", `${server} has not answered`);
  }

  async #act(server: ServerName, action: string, input: Input, isLate: boolean): Promise<Outcome> {
    const place = `${server} ${input.website}`;
    switch (action) {
      case stage.name:
        await this.#clock.sleep(this.#clock.random() * 3);
        this.#staged.add(`${place} ${input.release}`);
        return { output: { stagedAt: timestamp(this.#clock), filesChanged: 1, procedure: this.#procedure() } };
      case switchTo.name:
        return this.#switch(place, input, isLate);
      case withdraw.name:
        this.live.set(place, null);
        this.#switchedBy.set(place, input.decision ?? 0);
        return { output: { previous: null } };
      case probe.name:
        return { output: { release: this.live.get(place) ?? null, status: this.statuses.get(server) ?? 200, durationMs: 1 } };
      case banPages.name:
        this.kept.set(place, input.keep ?? null);
        return { output: { banned: true } };
      case holdRequests.name:
        this.#heldUntil.set(place, microsOf(input.until ?? ""));
        return { output: { held: true } };
      case letGo.name:
        this.#heldUntil.delete(place);
        return { output: { held: false } };
      case snapshotDatabases.name:
      case restoreDatabases.name:
        return { output: this.#keepDatabases(action, input) };
      case runBuild.name:
        return { output: this.#runBuild(input) };
      case runHook.name:
        return { output: this.#runHook(input) };
      case endHook.name:
        this.#updating.delete(input.deployment ?? 0);
        this.#ended.add(input.deployment ?? 0);
        return { output: { ended: true } };
      case status.name:
        return { output: { releases: this.#releasesOf(server) } };
      case findCommit.name:
        return { output: { commit: input.revision ?? "", refusals: [], warnings: [], needsBuild: this.unbuilt.has(input.revision ?? "") } };
      case settlePush.name:
        this.settled.set(input.pushId ?? "", [...(this.settled.get(input.pushId ?? "") ?? []), input.isLive === true]);
        return { output: { branch: null } };
      default:
        throw new Error(`the simulated yard does not know ${action}`);
    }
  }

  #procedure(): Procedure {
    return { hooks: this.hooks, holdSeconds: this.holdSeconds, snapshotsDatabases: this.snapshotsDatabases };
  }

  /** Whether visitors of a website wait at the cache. */
  isHeld(cache: ServerName, website: WebsiteId): boolean {
    return (this.#heldUntil.get(`${cache} ${website}`) ?? 0) > this.#clock.nowMicros();
  }

  /** The cache is made anew. */
  forgetHolds(cache: ServerName): void {
    for (const place of this.#heldUntil.keys()) if (place.startsWith(`${cache} `)) this.#heldUntil.delete(place);
  }

  /** A server loses a staged release of s1, as one that is cleaned does. */
  forgetRelease(server: ServerName, release: CommitId): void {
    this.#staged.delete(`${server} s1 ${release}`);
  }

  #keepDatabases(action: string, { databases = [], deployment }: Input): z.output<typeof snapshotDatabases.output> {
    for (const database of databases) {
      const key = `${database} ${deployment}`;
      const kept = this.#snapshots.get(key);
      if (action === snapshotDatabases.name) {
        if (!this.#snapshots.has(key)) this.#snapshots.set(key, this.databases.get(database));
        continue;
      }
      if (this.#updating.has(deployment ?? 0)) this.visitors.mixtures.push(`${database} is put back while its update goes on`);
      if (kept === undefined) this.databases.delete(database);
      else this.databases.set(database, kept);
    }
    return { state: "done", why: null, bytes: 1 };
  }

  #runBuild({ after = null }: Input): z.output<typeof runBuild.output> {
    const told = { exitStatus: null, lines: [], cursor: "1", build: null };
    if (after === null) return { ...told, state: "running", lines: ["$ make"] };
    return this.isBuildFailing ? { ...told, state: "failed", exitStatus: 2 } : { ...told, state: "done", build: "b".repeat(40) };
  }

  #runHook({ website, release, deployment = 0, hook = "update", after = null }: Input): z.output<typeof runHook.output> {
    if (hook === "update" && this.#ended.has(deployment)) return { state: "lost", exitStatus: null, lines: [], cursor: after };
    if (hook === "update" && after === null) this.#updating.add(deployment);
    else if (hook === "update") this.#updating.delete(deployment);
    if (hook === "update") this.databases.set(`db${website.slice(1)}`, release ?? "");
    if (hook === "update" && this.holdSeconds !== null) this.visitors.visitDuringUpdate(website);
    const looks = this.#looksAt(`${deployment} ${hook}`, after);
    if (looks >= this.hookLooks && !this.endlessHooks.has(hook)) {
      const isFailing = this.failingHooks.has(hook);
      return { state: isFailing ? "failed" : "done", exitStatus: isFailing ? 3 : 0, lines: [], cursor: after };
    }
    // It says all at once, and nothing new after that.
    if (after !== null) return { state: "running", exitStatus: null, lines: [], cursor: null };
    return { state: "running", exitStatus: null, lines: this.hookLines ?? [`$ ${hook} the database`], cursor: "1" };
  }

  /** How often it was asked for since the first time without a cursor. */
  #looksAt(hook: string, after: string | null): number {
    const looks = after === null ? 1 : (this.#looks.get(hook) ?? 0) + 1;
    this.#looks.set(hook, looks);
    return looks;
  }

  #releasesOf(server: ServerName): Record<WebsiteId, CommitId | null> {
    const own = [...this.live].filter(([place]) => place.startsWith(`${server} `));
    return Object.fromEntries(own.map(([place, release]) => [place.slice(server.length + 1), release]));
  }

  async #switch(place: string, { release, decision = 0, at = "", latestMs = 0 }: Input, isLate: boolean): Promise<Outcome> {
    if (release === undefined || !this.#staged.has(`${place} ${release}`)) return faulty("release.not-staged", `${release} is not staged`);
    const lateMs = isLate ? latestMs - 1 : 0;
    await this.#clock.sleep(Math.max(0, (microsOf(at) - this.#clock.nowMicros()) / 1000 + lateMs));
    if (this.#clock.nowMicros() > microsOf(at) + latestMs * 1000) return faulty("release.too-late", "too late");
    const previous = this.live.get(place) ?? null;
    this.live.set(place, release);
    this.#switchedBy.set(place, decision);
    return { output: { switchedAt: timestamp(this.#clock), previous, waitedMs: 1 } };
  }
}

interface Input {
  readonly website: WebsiteId;
  readonly release?: CommitId;
  readonly revision?: string;
  readonly decision?: number;
  readonly hook?: HookName;
  readonly after?: string | null;
  readonly at?: string;
  readonly latestMs?: number;
  readonly keep?: CommitId | null;
  readonly pushId?: string;
  readonly isLive?: boolean;
  readonly until?: string;
  readonly databases?: readonly string[];
  readonly deployment?: number;
}

type Outcome = { output: unknown } | { fault: FaultReport };

function faulty(code: string, message: string): Outcome {
  return { fault: { code, message, next: null } };
}
