import { setTimeout as sleep } from "node:timers/promises";
import { type Clock, systemClock } from "#base/clock.ts";
import type { DeploymentState } from "#contract/deployment.ts";
import type { Event } from "#contract/events.ts";
import type { AgentFabric } from "#fabric/fabric.ts";
import { Inbox } from "./inbox.ts";

/** What may be heard of a push: a step of its deployment, or how control says that it ended. */
export type News =
  | { readonly kind: "step"; readonly line: string; readonly state: DeploymentState }
  | { readonly kind: "settled"; readonly isLive: boolean; readonly reason: string | null };

const RETRY_MS = 200;

/** Follows the deployments on the bus and hands each push what concerns it. */
export class DeploymentNews {
  readonly #fabric: AgentFabric;
  readonly #clock: Clock;
  readonly #inboxes = new Map<string, Inbox<News>>();
  readonly #stopping = new AbortController();
  #following: Promise<void> | undefined;
  #isFollowing = false;

  /** `clock`: of those who wait for news. */
  constructor(fabric: AgentFabric, clock = systemClock) {
    this.#fabric = fabric;
    this.#clock = clock;
  }

  start(): void {
    this.#following ??= this.#follow();
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#following;
  }

  /** Whether events of a push that is published from now on will be heard. */
  isFollowing(): boolean {
    return this.#isFollowing;
  }

  open(push: string): Inbox<News> {
    const inbox = new Inbox<News>(this.#clock);
    this.#inboxes.set(push, inbox);
    return inbox;
  }

  close(push: string): void {
    this.#inboxes.delete(push);
  }

  tell(push: string, news: News): void {
    this.#inboxes.get(push)?.push(news);
  }

  async #follow(): Promise<void> {
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      if (this.#fabric.isConnected()) await this.#read().catch(() => undefined);
      this.#isFollowing = false;
      await sleep(RETRY_MS, undefined, { signal }).catch(() => undefined);
    }
  }

  async #read(): Promise<void> {
    const events = this.#fabric.followDeployments(this.#stopping.signal)[Symbol.asyncIterator]();
    // Asking for the first event is what subscribes.
    let next = events.next();
    this.#isFollowing = true;
    for (let event = await next; event.done !== true; event = await next) {
      this.#pass(event.value);
      next = events.next();
    }
  }

  #pass(event: Event): void {
    if (event.kind !== "deployment" || event.push === null) return;
    this.tell(event.push, { kind: "step", line: event.line, state: event.state });
  }
}
