import { setTimeout as sleep } from "node:timers/promises";
import type { z } from "zod";
import { Channel } from "#base/channel.ts";
import { microsOf, nowMicros, timestamp } from "#base/clock.ts";
import type { FaultReport } from "#base/fault.ts";
import type { Action } from "#contract/action.ts";
import { banPages } from "#contract/actions/cache.ts";
import { settlePush } from "#contract/actions/git.ts";
import { probe, stage, switchTo, withdraw } from "#contract/actions/release.ts";
import type { DeploymentEvent } from "#contract/events.ts";
import type { CommitId, ServerName, WebsiteId } from "#contract/names.ts";
import type { Push } from "#contract/push.ts";
import type { Answer, AskOptions, ControlFabric } from "#fabric/fabric.ts";

/** What a server does with a request: refuses it, is not there, does not do it, does it late, or does it; `mute` ones say nothing. */
export type Behaviour = "ok" | "refuses" | "away" | "deaf" | "mute" | "late-and-mute";

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
  /** How the git server was told that pushes ended. */
  readonly settled = new Map<string, boolean[]>();
  /** The release whose pages each cache kept at its last ban. */
  readonly kept = new Map<string, CommitId | null>();
  /** Front pages that answer with another status than 200. */
  readonly statuses = new Map<string, number>();
  readonly #staged = new Set<string>();
  readonly #waiting = new Map<string, Push>();
  readonly #behaviour: (server: ServerName, action: string, nth: number) => Behaviour;
  readonly #counts = new Map<string, number>();
  #newPush = new AbortController();

  constructor(behaviour: (server: ServerName, action: string, nth: number) => Behaviour = () => "ok") {
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
        if (event.kind === "deployment") this.events.push(event);
      },
      consumePushes: (take, signal) => this.#consume(take, signal),
      putSpec: async () => undefined,
      forget: async () => undefined,
      registry: () => new Map(),
      lastHeard: () => null,
      clockOffsetMs: () => 0,
      onRegistryChange: () => () => undefined,
      readEvents: () => new Channel(),
      listJobs: async () => [],
      consumeRefusals: async () => undefined,
      follow: () => new Channel(),
      isConnected: () => true,
      close: async () => undefined,
    };
  }

  async #consume(take: (push: Push) => Promise<void>, signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      this.#newPush = new AbortController();
      for (const push of this.#waiting.values())
        await take(push).then(
          () => this.#waiting.delete(push.id),
          () => sleep(2),
        );
      const wake = AbortSignal.any([signal, this.#newPush.signal]);
      await sleep(this.#waiting.size > 0 ? 2 : 1_000, undefined, { signal: wake }).catch(() => undefined);
    }
  }

  async #answer(
    server: ServerName,
    action: string,
    input: Input,
    how: { timeoutMs: number; signal: AbortSignal | undefined },
  ): Promise<Outcome> {
    this.asked.push({ at: timestamp(), server, action, website: input.website, release: input.release ?? null });
    const nth = this.#counts.get(`${server} ${action}`) ?? 0;
    this.#counts.set(`${server} ${action}`, nth + 1);
    const behaviour = this.#behaviour(server, action, nth);
    if (behaviour === "away") return faulty("fabric.no-server", `${server} is not connected`);
    if (behaviour === "refuses") return faulty("simulated.refused", "no space left on device");
    const deed = behaviour === "deaf" ? undefined : this.#act(server, action, input, behaviour === "late-and-mute");
    if (deed !== undefined && behaviour === "ok") return deed;
    await sleep(how.timeoutMs, undefined, how.signal === undefined ? {} : { signal: how.signal }).catch(() => undefined);
    return faulty("fabric.timed-out", `${server} has not answered`);
  }

  async #act(server: ServerName, action: string, input: Input, isLate: boolean): Promise<Outcome> {
    const place = `${server} ${input.website}`;
    switch (action) {
      case stage.name:
        await sleep(Math.random() * 3);
        this.#staged.add(`${place} ${input.release}`);
        return { output: { stagedAt: timestamp(), filesChanged: 1 } };
      case switchTo.name:
        return this.#switch(place, input, isLate);
      case withdraw.name:
        this.live.set(place, null);
        return { output: { previous: null } };
      case probe.name:
        return { output: { release: this.live.get(place) ?? null, status: this.statuses.get(server) ?? 200, durationMs: 1 } };
      case banPages.name:
        this.kept.set(place, input.keep ?? null);
        return { output: { banned: true } };
      case settlePush.name:
        this.settled.set(input.pushId ?? "", [...(this.settled.get(input.pushId ?? "") ?? []), input.isLive === true]);
        return { output: { branch: null } };
      default:
        throw new Error(`the simulated yard does not know ${action}`);
    }
  }

  async #switch(place: string, { release, at = "", latestMs = 0 }: Input, isLate: boolean): Promise<Outcome> {
    if (release === undefined || !this.#staged.has(`${place} ${release}`)) return faulty("release.not-staged", `${release} is not staged`);
    const lateMs = isLate ? latestMs - 1 : 0;
    await sleep(Math.max(0, (microsOf(at) - nowMicros()) / 1000 + lateMs));
    if (nowMicros() > microsOf(at) + latestMs * 1000) return faulty("release.too-late", "too late");
    const previous = this.live.get(place) ?? null;
    this.live.set(place, release);
    return { output: { switchedAt: timestamp(), previous } };
  }
}

interface Input {
  readonly website: WebsiteId;
  readonly release?: CommitId;
  readonly at?: string;
  readonly latestMs?: number;
  readonly keep?: CommitId | null;
  readonly pushId?: string;
  readonly isLive?: boolean;
}

type Outcome = { output: unknown } | { fault: FaultReport };

function faulty(code: string, message: string): Outcome {
  return { fault: { code, message, next: null } };
}
