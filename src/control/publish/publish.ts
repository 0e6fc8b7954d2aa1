import { createHash } from "node:crypto";
import type { ServerName } from "#contract/names.ts";
import type { ServerPlan } from "#contract/spec/server.ts";
import type { ControlFabric } from "#fabric/fabric.ts";
import { planYard } from "../plan/plan.ts";
import type { YardRows } from "../plan/rows.ts";
import { listAllGoodReleases } from "../store/deployments.ts";
import { readPolicy } from "../store/people.ts";
import type { Store } from "../store/schema.ts";
import { listServerRows } from "../store/servers.ts";
import { readSettings } from "../store/settings.ts";
import { listSpecs, storePlan } from "../store/specs.ts";
import { listWebsiteRows } from "../store/websites.ts";

export interface PublishOptions {
  readonly store: Store;
  readonly fabric: ControlFabric;
  readonly yard: string;
  readonly defaultCertificate: YardRows["defaultCertificate"];
  readonly brokers: YardRows["brokers"];
  readonly broker: YardRows["broker"];
}

/** Plans the yard from its rows, stores what has changed as new generations and delivers it. */
export class Publisher {
  readonly #options: PublishOptions;
  /** Generations that the bus is known to have; what is not in here is delivered again, after a restart everything. */
  readonly #delivered = new Map<ServerName, number>();
  /** One plan at a time: an older reading of the rows must not be stored over a newer one. */
  #planning: Promise<void> = Promise.resolve();

  constructor(options: PublishOptions) {
    this.#options = options;
  }

  /** Plans the rows as they are now or later, and stores what has changed: from then on a server is known to be behind. */
  plan(): Promise<void> {
    const after = this.#planning.catch(() => undefined);
    this.#planning = after.then(() => this.#planOnce());
    return this.#planning;
  }

  /** Delivers every spec that the bus is not known to have. */
  async deliver(): Promise<void> {
    const { store, fabric } = this.#options;
    const servers = new Set((await listServerRows(store)).filter((server) => server.state !== "deleting").map((server) => server.name));
    for (const spec of await listSpecs(store)) {
      if (!servers.has(spec.server) || this.#delivered.get(spec.server) === spec.generation) continue;
      await fabric.putSpec(spec);
      this.#delivered.set(spec.server, spec.generation);
    }
  }

  /** Takes back all that a removed server was told: a new one of its name begins again at generation 1. */
  async withdraw(server: ServerName): Promise<void> {
    await this.#options.fabric.forget(server);
    this.#delivered.delete(server);
  }

  async #planOnce(): Promise<void> {
    for (const plan of planYard(await this.#readRows())) await storePlan(this.#options.store, plan, hashOf(plan));
  }

  async #readRows(): Promise<YardRows> {
    const { store, yard, defaultCertificate, brokers, broker } = this.#options;
    const [servers, websites, good, policy, settings] = await Promise.all([
      listServerRows(store),
      listWebsiteRows(store),
      listAllGoodReleases(store),
      readPolicy(store),
      readSettings(store),
    ]);
    const planned = websites.map((website) => ({ ...website, good_releases: good.get(website.id) ?? [] }));
    return { yard, servers, websites: planned, policy, ...settings, defaultCertificate, brokers, broker };
  }
}

/** Plans are made key by key in a fixed order, so that their JSON is canonical. */
function hashOf(plan: ServerPlan): string {
  return createHash("sha256").update(JSON.stringify(plan)).digest("hex");
}
