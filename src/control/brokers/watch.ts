import type { NatsConnection } from "@nats-io/transport-node";
import { reportFault } from "#base/fault.ts";
import type { Log } from "#base/log.ts";
import { type Loop, loop } from "#base/loop.ts";
import type { BrokerState } from "#contract/api/status.ts";
import type { ServerName } from "#contract/names.ts";
import { ALL_BROKERS, type BrokerHealth, readBrokerHealth } from "#fabric/broker-health.ts";
import { connectBus } from "#fabric/connection.ts";
import { credentialsForSystem } from "#fabric/identity.ts";
import type { Secrets } from "../secrets.ts";
import type { BusMember } from "./members.ts";

export interface WatchOptions {
  readonly secrets: Pick<Secrets, "keys" | "authority">;
  /** Brokers that the yard should have, and those that are the bus already. */
  readonly wanted: readonly BusMember[];
  readonly joined: readonly BusMember[];
  /** Where those are found. */
  readonly brokers: readonly string[];
  readonly log: Log;
  /** Told when a broker answers that did not before, or was started again: it may have missed something. */
  readonly onBack: () => void;
  /** Told of a broker that is there and does not catch up although the others are well. */
  readonly onStuck: (server: ServerName) => void;
  readonly everyMs?: number;
}

const EVERY_MS = 2_000;
/** Waited for only while one does not answer. */
const ANSWER_MS = 2_000;

/** Looks after the brokers of the bus: which answer, which lead, which are behind. */
export class BrokerWatch {
  readonly #options: WatchOptions;
  readonly #turns: Loop;
  #connection: NatsConnection | undefined;
  #isStopped = false;
  #health: ReadonlyMap<string, BrokerHealth> | null = null;
  readonly #stuck = new Stuck();

  constructor(options: WatchOptions) {
    this.#options = options;
    const { log, everyMs = EVERY_MS } = options;
    const onFault = (thrown: unknown): void => log.warn({ fault: reportFault(thrown) }, "brokers not looked at");
    this.#turns = loop({ everyMs, work: () => this.#look(), onFault });
  }

  start(): void {
    void this.#connect();
    this.#turns.start();
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    await this.#turns.stop();
    await this.#connection?.close();
  }

  /** How each broker is, as last seen. */
  states(): BrokerState[] {
    return this.#options.wanted.map(({ name, address }) => ({ server: name, address, ...this.#stateOf(name) }));
  }

  /** What is wrong with the brokers, in words, with what to do. */
  troubles(): string[] {
    if (this.#health === null) return [];
    return describeTroubles(this.states());
  }

  async #connect(): Promise<void> {
    const { secrets, brokers, log } = this.#options;
    const credentials = await credentialsForSystem(secrets.keys);
    const caPem = secrets.authority.certificatePem;
    const connection = await connectBus({ brokers, caPem, credentials, name: "system", log });
    this.#connection = connection;
    if (this.#isStopped) await connection.close();
    this.#turns.nudge();
  }

  async #look(): Promise<void> {
    if (this.#connection === undefined) return;
    const known = this.#health;
    const health = await readBrokerHealth(this.#connection, { most: this.#options.joined.length, timeoutMs: ANSWER_MS });
    this.#health = health;
    const knownIds = new Set([...(known?.values() ?? [])].map(({ id }) => id));
    if (known !== null && [...health.values()].some(({ id }) => !knownIds.has(id))) this.#options.onBack();
    for (const server of this.#stuck.find(this.states(), performance.now())) this.#options.onStuck(server);
  }

  #stateOf(name: string): Omit<BrokerState, "server" | "address"> {
    const health = this.#health?.get(name);
    if (health !== undefined) return { state: health.isCurrent ? "ready" : "behind", leads: [...health.leads], behindBy: health.behindBy };
    const isJoined = this.#options.joined.some((member) => member.name === name);
    return { state: isJoined ? "away" : "joining", leads: [], behindBy: 0 };
  }
}

/** A broker that has been behind for this long, while the others were well, does not catch up any more. */
const STUCK_MS = 60_000;

/**
 * Brokers that have begun to catch up and never do: seen with NATS 2.10 after a broker's start was broken off. To start it
 * anew is the remedy, of one at a time, and only while the others can do without it.
 */
export class Stuck {
  readonly #behindSinceMs = new Map<ServerName, number>();

  /** Those that should be started anew now; each is named again only when as much time has passed once more. */
  find(states: readonly BrokerState[], nowMs: number): ServerName[] {
    const behind = states.filter(({ state }) => state === "behind").map(({ server }) => server);
    const isAlone = behind.length === 1 && states.every(({ state }) => state === "behind" || state === "ready");
    for (const server of this.#behindSinceMs.keys()) if (!isAlone || !behind.includes(server)) this.#behindSinceMs.delete(server);
    if (!isAlone) return [];
    return behind.filter((server) => {
      const sinceMs = this.#behindSinceMs.get(server) ?? nowMs;
      const isStuck = nowMs - sinceMs >= STUCK_MS;
      this.#behindSinceMs.set(server, isStuck ? nowMs : sinceMs);
      return isStuck;
    });
  }
}

/** In words, with what to do; nothing of a broker that is only catching up. */
export function describeTroubles(states: readonly BrokerState[]): string[] {
  const named = (state: BrokerState["state"]): string[] => states.filter((one) => one.state === state).map(({ server }) => server);
  const [away, behind, joining] = [named("away"), named("behind"), named("joining")];
  const look = `it comes back by itself; if not, see ${away.join(", ")} in: boxyard server list`;
  const troubles: string[] = [];
  if (joining.length > 0)
    troubles.push(`${joining.join(" and ")} are no part of the bus yet, which control1 carries alone (→ when they are ready: bin/up)`);
  else if (away.length === 1 && behind.length > 0)
    troubles.push(
      `the broker on ${away[0]} does not answer, and that on ${behind.join(" and ")} has not caught up: what is to be stored waits (→ ${look})`,
    );
  else if (away.length === 1 && states.length > 1)
    troubles.push(`the broker on ${away[0]} does not answer: the other two go on and lose nothing, but neither may fail now (→ ${look})`);
  else if (away.length > 0)
    troubles.push(`the brokers on ${away.join(" and ")} do not answer: nothing can be stored until one is back (→ ${look})`);
  const isLed = states.some(({ leads }) => leads.includes(ALL_BROKERS));
  if (states.length > 1 && joining.length === 0 && away.length < 2 && !isLed)
    troubles.push(
      "the brokers are choosing who leads: what is to be stored waits (→ it takes seconds; if not: boxyard status again, then restart nats-server on the control servers, one after the other)",
    );
  return troubles;
}
