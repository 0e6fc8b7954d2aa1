import { Fault, reportFault } from "#base/fault.ts";
import type { Log } from "#base/log.ts";
import { mapParallel } from "#base/parallel.ts";
import { makeBusKey, takeBusKey } from "#contract/actions/credentials.ts";
import type { ServerName } from "#contract/names.ts";
import type { ControlFabric } from "#fabric/fabric.ts";
import { jwtForServer } from "#fabric/identity.ts";
import { announceRevocations } from "#fabric/revocation.ts";
import type { Secrets } from "../secrets.ts";
import * as keys from "../store/bus-keys.ts";
import type { Store } from "../store/schema.ts";
import { requireServer } from "../store/servers.ts";

export interface BusKeysOptions {
  readonly store: Store;
  readonly secrets: Pick<Secrets, "keys" | "authority">;
  readonly fabric: Pick<ControlFabric, "askAll">;
  readonly brokers: readonly string[];
  readonly log: Log;
}

/** Keys are renewed when they are this old. */
const RENEW_AFTER_MS = 30 * 86_400_000;
const AT_ONCE = 8;

/** The keys by which servers join the bus: which count, changing them without a gap, and taking them back. */
export class BusKeys {
  readonly #options: BusKeysOptions;
  /** How many revocations the broker is known to have; null after a start. */
  #announced: number | null = null;

  constructor(options: BusKeysOptions) {
    this.#options = options;
  }

  /** The keys of each server that count; a server that has none is cut off. */
  async current(): Promise<Map<ServerName, string[]>> {
    const byServer = Map.groupBy(await keys.listCurrentKeys(this.#options.store), ({ server }) => server);
    return new Map([...byServer].map(([server, current]) => [server, current.map(({ publicKey }) => publicKey)]));
  }

  /** Takes back all keys of a server: it is cut off at once. Fault "fabric.not-revoked" when the broker could not be told; `tend` tells it later. */
  async revoke(server: ServerName): Promise<void> {
    await keys.revokeBusKeys(this.#options.store, server);
    await this.announce();
  }

  /** A server makes a new key and changes to it; then the old one counts no more. Fault "credentials.not-renewed" with the server's words. */
  async renew(server: ServerName): Promise<void> {
    const { store, secrets, fabric } = this.#options;
    const { roles } = await requireServer(store, server);
    const [made] = await fabric.askAll(makeBusKey, [server], {});
    if (made?.output === undefined) throw notRenewed(server, made?.fault?.message);
    const { publicKey, current } = made.output;
    await keys.addBusKey(store, server, current);
    await keys.addBusKey(store, server, publicKey);
    const [taken] = await fabric.askAll(takeBusKey, [server], { jwt: await jwtForServer(secrets.keys, { server, roles }, publicKey) });
    if (taken?.output === undefined) {
      // It may have changed and only its answer be lost: then it has the new one on disk. Both count until the next time.
      throw notRenewed(server, taken?.fault?.message);
    }
    await keys.revokeBusKeys(store, server, { but: publicKey });
    await this.announce();
  }

  /** Tells the broker what it could not be told before, renews every key of older rights, and one of those that are old. */
  async tend(): Promise<void> {
    const { store } = this.#options;
    if ((await keys.listRevokedKeys(store)).length !== this.#announced) await this.announce();
    const current = await keys.listCurrentKeys(store);
    const outdated = new Set(current.filter(({ isOutdated }) => isOutdated).map(({ server }) => server));
    await mapParallel([...outdated], AT_ONCE, (server) => this.#tryToRenew(server));
    const old = current.filter(({ server, issuedAt }) => !outdated.has(server) && Date.now() - issuedAt.getTime() > RENEW_AFTER_MS);
    // Any of them: one that is away must not keep the others from it.
    const chosen = old[Math.floor(Math.random() * old.length)];
    if (chosen !== undefined) await this.#tryToRenew(chosen.server);
  }

  async #tryToRenew(server: ServerName): Promise<void> {
    try {
      await this.renew(server);
      this.#options.log.info({ server }, "key of the bus renewed");
    } catch (thrown) {
      this.#options.log.warn({ server, fault: reportFault(thrown) }, "key of the bus not renewed yet");
    }
  }

  /** Tells every broker that answers which keys count no more. */
  async announce(): Promise<void> {
    const { store, secrets, brokers, log } = this.#options;
    const revoked = await keys.listRevokedKeys(store);
    const bus = { brokers, caPem: secrets.authority.certificatePem, log };
    await announceRevocations(bus, secrets.keys, revoked).catch((cause: unknown) => {
      this.#announced = null;
      throw new Fault("fabric.not-revoked", "the broker could not be told at once; it is told as soon as it answers", { cause });
    });
    this.#announced = revoked.length;
  }
}

function notRenewed(server: ServerName, why: string | undefined): Fault {
  return new Fault("credentials.not-renewed", `${server} has not changed its key: ${why ?? "no answer"}`, {
    next: `boxyard ping ${server}`,
  });
}
