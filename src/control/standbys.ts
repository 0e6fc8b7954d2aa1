import { reportFault } from "#base/fault.ts";
import type { Log } from "#base/log.ts";
import { type Loop, loop } from "#base/loop.ts";
import type { ControlState } from "#contract/api/status.ts";
import type { ServerName } from "#contract/names.ts";
import type { BusMember } from "./brokers/members.ts";
import { listCopies } from "./store/lead.ts";
import type { Store } from "./store/schema.ts";

export interface StandbyOptions {
  readonly store: Store;
  /** All control servers of the yard, and the one that leads. */
  readonly servers: readonly BusMember[];
  readonly leads: ServerName;
  readonly log: Log;
}

const EVERY_MS = 2_000;

/** Looks after the control servers that stand by: a database that is no copy could not take over. */
export class Standbys {
  readonly #options: StandbyOptions;
  readonly #turns: Loop;
  #copies: ReadonlySet<ServerName> | null = null;

  constructor(options: StandbyOptions) {
    this.#options = options;
    const onFault = (thrown: unknown): void => options.log.warn({ fault: reportFault(thrown) }, "copies of the database not looked at");
    this.#turns = loop({ everyMs: EVERY_MS, work: () => this.#look(), onFault });
  }

  start(): void {
    this.#turns.start();
  }

  stop(): Promise<void> {
    return this.#turns.stop();
  }

  /** Each control server, as last seen. */
  states(): ControlState[] {
    const { servers, leads } = this.#options;
    const stateOf = (name: ServerName): ControlState["state"] => {
      if (name === leads) return "leads";
      return this.#copies?.has(name) ? "stands by" : "away";
    };
    return servers.map(({ name, address }) => ({ server: name, address, state: stateOf(name) }));
  }

  /** What is wrong with them, in words, with what to do. */
  troubles(): string[] {
    return this.#copies === null ? [] : describeStandbys(this.states());
  }

  async #look(): Promise<void> {
    if (this.#options.servers.length > 1) this.#copies = await listCopies(this.#options.store);
  }
}

/** Nothing while all stand by. */
export function describeStandbys(states: readonly ControlState[]): string[] {
  const away = states.filter(({ state }) => state === "away").map(({ server }) => server);
  const mend = "(→ it comes back by itself; if not: bin/up)";
  if (away.length === 0) return [];
  if (away.length === 1)
    return [`the database of ${away[0]} is no copy at present: neither of the other two control servers may fail now ${mend}`];
  return [`the databases of ${away.join(" and ")} are not known to have everything at present: no control server could take over ${mend}`];
}
