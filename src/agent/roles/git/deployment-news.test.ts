import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { Channel } from "#base/channel.ts";
import { until } from "#base/retry.ts";
import type { DeploymentEvent, Event } from "#contract/events.ts";
import type { AgentFabric } from "#fabric/fabric.ts";
import { SEED } from "#harness/seed.ts";
import { VirtualClock } from "#harness/virtual-clock.ts";
import { DeploymentNews } from "./deployment-news.ts";

const EVENT: DeploymentEvent = {
  kind: "deployment",
  at: "2026-11-24T00:00:00.000000Z",
  deployment: 7,
  website: "s1",
  push: "s1-1",
  commit: "a".repeat(40),
  state: "staging",
  server: null,
  line: "staging on c1b1",
};

/** The bus: whether it is reached, and who has subscribed; each may be ended by a fault. */
class Bus {
  isUp = true;
  readonly subscriptions: { readonly channel: Channel<Event>; fault?: Error; readonly wasFollowing: boolean }[] = [];

  isConnected(): boolean {
    return this.isUp;
  }

  async *followDeployments(signal: AbortSignal): AsyncIterable<Event> {
    const subscription: Bus["subscriptions"][number] = { channel: new Channel<Event>(), wasFollowing: news.isFollowing() };
    this.subscriptions.push(subscription);
    signal.addEventListener("abort", () => subscription.channel.close(), { once: true });
    yield* subscription.channel;
    if (subscription.fault !== undefined) throw subscription.fault;
  }

  say(event: Event): void {
    this.subscriptions.at(-1)?.channel.push(event);
  }

  breakOff(fault?: Error): void {
    const subscription = this.subscriptions.at(-1);
    if (subscription !== undefined && fault !== undefined) subscription.fault = fault;
    subscription?.channel.close();
  }
}

let bus: Bus;
let news: DeploymentNews;
const { signal } = new AbortController();
const follows = () => until("it follows", async () => (news.isFollowing() ? true : null), { timeoutMs: 5_000, everyMs: 10 });
const followsNot = () => until("it follows no more", async () => (news.isFollowing() ? null : true), { timeoutMs: 5_000, everyMs: 5 });

beforeEach(() => {
  bus = new Bus();
  news = new DeploymentNews(bus as unknown as AgentFabric);
});
afterEach(() => news.stop());

describe("the news of deployments", () => {
  test("are followed once it is begun, and only then", async () => {
    await sleep(20);
    expect(news.isFollowing()).toBe(false);
    news.start();
    news.start();
    await follows();
    expect(bus.subscriptions).toMatchObject([{ wasFollowing: false }]);
  });

  test("are followed as soon as there is a bus", async () => {
    bus.isUp = false;
    news.start();
    await sleep(20);
    expect(news.isFollowing()).toBe(false);
    expect(bus.subscriptions).toEqual([]);
    bus.isUp = true;
    await follows();
  });

  test.each([
    ["ends", undefined],
    ["fails", new Error("no broker")],
  ])("are followed anew after a subscription that %s, and not at once", async (_how, fault) => {
    news.start();
    await follows();
    bus.breakOff(fault);
    await followsNot();
    expect(bus.subscriptions).toHaveLength(1);
    await follows();
    expect(bus.subscriptions).toMatchObject([{ wasFollowing: false }, { wasFollowing: false }]);
    const inbox = news.open("s1-1");
    bus.say(EVENT);
    expect(await inbox.next(5_000, signal)).toMatchObject({ line: "staging on c1b1" });
  });

  test("are followed no more when it is stopped, which waits for no bus", async () => {
    news.start();
    await follows();
    await news.stop();
    expect(news.isFollowing()).toBe(false);
    await sleep(250);
    expect(bus.subscriptions).toHaveLength(1);
  });
});

describe("a push", () => {
  test("hears each step of its own deployment, and nothing else", async () => {
    news.start();
    await follows();
    const [mine, other] = [news.open("s1-1"), news.open("s1-2")];
    const line = "of somebody else";
    bus.say({ ...EVENT, push: null, line });
    bus.say({ ...EVENT, push: "s1-404", line });
    bus.say({ kind: "lost", at: EVENT.at, server: "c1b1", count: 1, line, push: "s1-1" } as Event);
    bus.say({ ...EVENT, push: "s1-2", line: "live: bbbbbbb", state: "live" });
    bus.say(EVENT);
    bus.say({ ...EVENT, line: "live: aaaaaaa", state: "live" });
    expect(await mine.next(5_000, signal)).toEqual({ kind: "step", line: "staging on c1b1", state: "staging" });
    expect(await mine.next(5_000, signal)).toEqual({ kind: "step", line: "live: aaaaaaa", state: "live" });
    expect(await other.next(5_000, signal)).toEqual({ kind: "step", line: "live: bbbbbbb", state: "live" });
    for (const inbox of [mine, other]) expect(await inbox.next(0, signal)).toBeNull();
  });

  test("is told how it ended, and nothing more when nobody listens", async () => {
    const inbox = news.open("s1-1");
    const settled = { kind: "settled", isLive: false, reason: "no space" } as const;
    news.tell("s1-1", settled);
    news.tell("s1-2", settled);
    news.close("s1-1");
    news.tell("s1-1", settled);
    expect(await inbox.next(0, signal)).toEqual(settled);
    expect(await inbox.next(0, signal)).toBeNull();
  });

  test("waits by the clock that it is given", async () => {
    const clock = new VirtualClock(SEED);
    const inbox = new DeploymentNews(bus as unknown as AgentFabric, clock).open("s1-1");
    expect(await clock.during(() => inbox.next(3_600_000, signal))).toBeNull();
    expect(clock.elapsedMs()).toBe(3_600_000);
  });
});
