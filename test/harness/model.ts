import type { KyselyPlugin } from "kysely";
import { expect } from "vitest";
import { until } from "#base/retry.ts";
import type { Deployment } from "#contract/deployment.ts";
import { isFinal } from "#control/deploy/states.ts";
import { deploymentEvents } from "#control/store/deployments.ts";
import type { Store } from "#control/store/schema.ts";
import { findWebsiteOnYard } from "#control/store/website-on-yard.ts";
import { startQuickly } from "./deployments.ts";
import type { Asked, SimulatedYard } from "./simulated-yard.ts";
import type { VirtualClock } from "./virtual-clock.ts";

/** A yard without a network and without a clock of its own. */
export interface Trial {
  readonly store: Store;
  readonly yard: SimulatedYard;
  readonly clock: VirtualClock;
}

/** Runs one process after the other, each until its death; gives the last, which lives. */
export async function runThroughDeaths({ store, yard, clock }: Trial, deaths: readonly number[]): Promise<{ stop(): Promise<void> }> {
  for (const uses of deaths) {
    const death = Promise.withResolvers<void>();
    let left = uses;
    const tick = (): void => {
      if (--left > 0) return;
      death.resolve();
      throw new Error("this process is dead");
    };
    const plugin: KyselyPlugin = {
      transformQuery: ({ node }) => {
        tick();
        return node;
      },
      transformResult: async ({ result }) => result,
    };
    const process = startQuickly(store.withPlugin(plugin), yard.fabric(tick), clock);
    await Promise.race([death.promise, clock.sleep(1_000)]);
    await process.stop();
  }
  return startQuickly(store, yard.fabric(), clock);
}

/** By website: the servers that carry it. */
export type Carriers = Readonly<Record<string, readonly string[]>>;

interface Ended {
  readonly website: string;
  readonly deployments: readonly Deployment[];
}

export async function checkWebsite(store: Store, yard: SimulatedYard, { website, deployments }: Ended): Promise<void> {
  const own = deployments.filter((one) => one.website === website);
  for (const one of own) {
    const told = new Set(yard.settled.get(one.push ?? ""));
    expect(told, `settled ${one.push}`).toEqual(new Set([one.state === "live"]));
    const asked = yard.asked.filter((request) => request.website === website);
    expectNoWayForthAfterBack(asked, one);
    if (one.state === "failed" || one.state === "superseded") expect(asked.some((request) => isSwitch(request, one.commit))).toBe(false);
  }
  const release = (await findWebsiteOnYard(store, website))?.release ?? null;
  expect(release, "the release in the rows is the last that went live").toBe(lastLive(own, website));
  await expectOneAtATime(store, own);
}

export function lastLive(deployments: readonly Deployment[], website: string): string | null {
  const live = deployments.filter((one) => one.website === website && one.state === "live");
  return live.toSorted((a, b) => (a.finishedAt ?? "").localeCompare(b.finishedAt ?? "")).at(-1)?.commit ?? null;
}

export function expectDatabaseOfRelease(yard: SimulatedYard, website: string, release: string | null): void {
  expect(yard.databases.get(`db${website.slice(1)}`) ?? null, "the database is as the live release has left it").toBe(release);
}

/** Waits until all of the yard is as its rows say. */
export async function becomesWhole({ store, yard, clock }: Trial, carriers: Carriers): Promise<void> {
  const isIt = (): Promise<true | null> => isWhole(store, yard, carriers);
  await until("every box to get visitors and to serve the release", isIt, { timeoutMs: 10_000, everyMs: 20, clock });
}

/** Whether no server is fenced, nobody waits at a cache, and all carry the release of their website; null when not. */
async function isWhole(store: Store, yard: SimulatedYard, carriers: Carriers): Promise<true | null> {
  const fence = await store.selectFrom("fence").select("server").executeTakeFirst();
  if (fence !== undefined) return null;
  for (const website of Object.keys(carriers)) if (yard.cachesOf(website).some((cache) => yard.isHeld(cache, website))) return null;
  for (const [website, servers] of Object.entries(carriers)) {
    const release = (await findWebsiteOnYard(store, website))?.release ?? null;
    if (servers.some((server) => (yard.live.get(`${server} ${website}`) ?? null) !== release)) return null;
  }
  return true;
}

function isSwitch({ action, release }: Asked, commit: string): boolean {
  return action === "release.switch" && release === commit;
}

function expectNoWayForthAfterBack(asked: readonly Asked[], { commit, finishedAt }: Deployment): void {
  const inTime = asked.filter(({ at }) => at <= (finishedAt ?? ""));
  const turns = inTime.filter(({ action }) => action === "release.switch" || action === "release.withdraw");
  const forth = turns.findIndex((request) => isSwitch(request, commit));
  const back = turns.findIndex((request, index) => forth >= 0 && index > forth && !isSwitch(request, commit));
  expect(
    turns.findLastIndex((request) => isSwitch(request, commit)),
    "a switch after the decision to go back",
  ).toBeLessThanOrEqual(back < 0 ? turns.length : back);
}

/** Between the start and the end of a deployment no other of the same website has begun; what its `hooks.after` says may come later. */
async function expectOneAtATime(store: Store, own: readonly Deployment[]): Promise<void> {
  const spans: { from: string; to: string }[] = [];
  for (const one of own.filter((deployment) => deployment.state !== "superseded")) {
    const events = ((await deploymentEvents(store, one.id, 0))?.events ?? []).filter((event) => event.kind === "deployment");
    expect(events.at(-1)?.state, "the last event says how it ended").toBe(one.state);
    spans.push({ from: events[0]?.at ?? "", to: events.find(({ state }) => isFinal(state))?.at ?? "" });
  }
  spans.sort((a, b) => a.from.localeCompare(b.from));
  for (const [index, span] of spans.entries()) expect((spans[index - 1]?.to ?? "") <= span.from, "one deployment at a time").toBe(true);
}
