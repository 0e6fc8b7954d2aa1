import type { DeploymentEvent, ServerEvent } from "#contract/events.ts";
import type { CommitId, ServerName, WebsiteId } from "#contract/names.ts";

/** What decides which release a visitor meets. */
interface Servers {
  /** What each server has live of each website, by `c1b1 s1`. */
  readonly live: ReadonlyMap<string, CommitId | null>;
  /** The boxes that each cache sends visitors to. */
  readonly rotation: ReadonlyMap<ServerName, readonly ServerName[]>;
  /** What was said of deployments so far. */
  readonly events: readonly DeploymentEvent[];
  /** Whether visitors of a website wait at the cache. */
  isHeld(cache: ServerName, website: WebsiteId): boolean;
}

/** Visitors of a simulated yard: they come through every cache that is not fenced to every box that it knows. */
export class SimulatedVisitors {
  /** What they met that they must not: a release that is not the one that was said to be live, two at once, or no wait during an update. */
  readonly mixtures: string[] = [];
  readonly #servers: Servers;
  readonly #fenced = new Set<ServerName>();

  constructor(servers: Servers) {
    this.#servers = servers;
  }

  /** From this event on a server is fenced, or is not any more. */
  noteFence({ server, change }: ServerEvent): void {
    if (change.what === "fenced") this.#fenced.add(server);
    if (change.what === "unfenced") this.#fenced.delete(server);
  }

  /** Visitors come at the moment at which this event is published. */
  visit(event: DeploymentEvent): void {
    if (event.state === "live") this.#expectOnly(event);
    if (event.state === "rolled-back" || event.state === "failed") this.#expectOneRelease(event);
  }

  /** Visitors come while the databases of a website are updated. */
  visitDuringUpdate(website: WebsiteId): void {
    for (const [cache] of this.#ways(website))
      if (!this.#servers.isHeld(cache, website)) this.mixtures.push(`visitors of ${website} do not wait at ${cache} while it is updated`);
  }

  #expectOnly({ website, commit, deployment }: DeploymentEvent): void {
    for (const [cache, boxes] of this.#ways(website))
      for (const box of boxes) {
        const live = this.#liveOn(box, website);
        if (live !== commit) this.mixtures.push(`deployment ${deployment} is live, and ${cache} sends visitors to ${box} with ${live}`);
      }
  }

  /** However it ended, all visitors meet one release; unless nobody confirms that none are sent to who is behind, which is said. */
  #expectOneRelease({ website, deployment, state, line }: DeploymentEvent): void {
    const own = this.#servers.events.filter((event) => event.deployment === deployment);
    const isUnconfirmed = own.some((event) => /^warning: .* not confirmed whom visitors are sent to$/.test(event.line));
    if (isUnconfirmed && line.includes("goes back when its agent next converges")) return;
    const boxes = new Set(this.#ways(website).flatMap(([, behind]) => behind));
    const served = new Map([...boxes].map((box) => [box, this.#liveOn(box, website)]));
    if (new Set(served.values()).size > 1)
      this.mixtures.push(`deployment ${deployment} is ${state}, and visitors meet ${[...served].map((one) => one.join(": ")).join(", ")}`);
  }

  /** The caches of a website's cluster that are not fenced, each with its boxes. */
  #ways(website: WebsiteId): (readonly [ServerName, readonly ServerName[]])[] {
    const { rotation } = this.#servers;
    return [...rotation].filter(([cache]) => isCacheOf(website, cache) && !this.#fenced.has(cache));
  }

  #liveOn(box: ServerName, website: WebsiteId): CommitId | null {
    return this.#servers.live.get(`${box} ${website}`) ?? null;
  }
}

/** In a simulated yard website s1 runs in cluster c1, and so on. */
export function isCacheOf(website: WebsiteId, server: ServerName): boolean {
  return server.startsWith(`c${website.slice(1)}v`);
}
