import { afterAll, afterEach, beforeAll, beforeEach, vi } from "vitest";
import type { Deployment } from "#contract/deployment.ts";
import type { Push } from "#contract/push.ts";
import type { Coordinator } from "#control/deploy/coordinator.ts";
import type { Store } from "#control/store/schema.ts";
import { addWebsite, ended, startQuickly } from "./deployments.ts";
import { PacedDatabase } from "./paced-store.ts";
import { startPostgres, type TestPostgres } from "./postgres.ts";
import { sayHowToRepeat } from "./say-how-to-repeat.ts";
import { SEED } from "./seed.ts";
import { type Behaviour, SimulatedYard } from "./simulated-yard.ts";
import { VirtualClock } from "./virtual-clock.ts";

const SERVERS = { c1b1: "box", c1b2: "box", c1s: "shell", c1v1: "cache", c1v2: "cache" } as const;

/** The servers that carry the website. */
export const CARRIERS = ["c1b1", "c1b2", "c1s"];

/** Website s1 on a simulated cluster c1, with what tests do to it and see of it. */
export class OneWebsite {
  store!: Store;
  yard!: SimulatedYard;
  clock!: VirtualClock;
  /** What servers do with requests; a test may write another one at any time. */
  script: (server: string, action: string, nth: number) => Behaviour = () => "ok";
  #coordinator: Coordinator | undefined;
  #database: PacedDatabase | undefined;

  async begin(rows: Store): Promise<void> {
    await addWebsite(rows, { website: "s1", cluster: "c1", servers: SERVERS });
    this.script = () => "ok";
    this.#database ??= await PacedDatabase.of(rows);
    this.clock = new VirtualClock(SEED);
    this.store = this.#database.storeOn(this.clock);
    this.clock.start();
    this.yard = new SimulatedYard(this.clock, (server, action, nth) => this.script(server, action, nth));
  }

  /** Control begins; it ends with the test. */
  start(): Coordinator {
    this.#coordinator = startQuickly(this.store, this.yard.fabric(), this.clock);
    return this.#coordinator;
  }

  async end(): Promise<void> {
    await this.#coordinator?.stop();
    this.#coordinator = undefined;
    await this.clock.stop();
  }

  /** After the last test. */
  async leave(): Promise<void> {
    await this.#database?.end();
  }

  /** Pushes, and waits until so many deployments have ended; gives the last. */
  async deploy(push: Push, amount: number): Promise<Deployment | undefined> {
    this.yard.push(push);
    return (await ended(this, amount)).at(-1);
  }

  liveOn(servers: readonly string[] = CARRIERS): (string | null)[] {
    return servers.map((server) => this.yard.live.get(`${server} s1`) ?? null);
  }

  /** What was told of deployments. */
  lines(): string[] {
    return this.yard.events.map(({ line }) => line);
  }

  /** What servers were asked for, and which. */
  actions(): string[] {
    return this.yard.asked.map(({ action, server }) => `${action} ${server}`);
  }
}

/** For the whole file that calls it: the website is new for every test. */
export function useOneWebsite(): OneWebsite {
  // In virtual time nothing waits for long, but a machine with other things to do may be slow at what is left.
  vi.setConfig({ testTimeout: 300_000, hookTimeout: 300_000 });
  const site = new OneWebsite();
  let postgres: TestPostgres;
  beforeAll(async () => {
    postgres = await startPostgres();
  }, 300_000);
  afterAll(async () => {
    await site.leave();
    await postgres.stop();
  });
  beforeEach(async () => {
    sayHowToRepeat();
    await site.begin(await postgres.emptyStore());
  });
  afterEach(() => site.end());
  return site;
}
