import { Kysely, PostgresDialect, sql } from "kysely";
import pg from "pg";
import type { Store, Tables } from "#control/store/schema.ts";
import type { VirtualClock } from "./virtual-clock.ts";

/** How long a query takes at most, in virtual time. */
const LATENCY_MS = 1;
/** More than all that a test does at once: a query must not wait for the connection of a test that sleeps. */
const CONNECTIONS = 40;

/**
 * A database for code that runs in virtual time: one query at a time, each at a moment that the clock's seed gives. A query that
 * waits for a row which a sleeping transaction has locked lets time pass. It is a real PostgreSQL on purpose: one that runs in
 * this process has a single session, and transactions that wait for each other are among what these tests are about.
 */
export class PacedDatabase {
  readonly #pool: pg.Pool;
  /** Looks at the others. */
  readonly #looking: pg.Pool;

  constructor(config: pg.PoolConfig) {
    this.#pool = new pg.Pool({ ...config, max: CONNECTIONS });
    this.#looking = new pg.Pool({ ...config, max: 1 });
    for (const pool of [this.#pool, this.#looking]) pool.on("error", () => undefined);
  }

  /** The same database that a store is of. */
  static async of(store: Store): Promise<PacedDatabase> {
    const { rows } = await sql<{ host: string; user: string; database: string }>`
      select current_setting('unix_socket_directories') as host, current_user as user, current_database() as database`.execute(store);
    return new PacedDatabase({ ...rows[0] });
  }

  /** Its rows, while the clock runs; to end this store ends nothing. */
  storeOn(clock: VirtualClock): Store {
    const paced = { connect: async () => this.#pace(await clock.outside(() => this.#pool.connect()), clock), end: async () => undefined };
    return new Kysely<Tables>({ dialect: new PostgresDialect({ pool: paced as unknown as pg.Pool }) });
  }

  async end(): Promise<void> {
    await Promise.all([this.#pool.end(), this.#looking.end()]);
  }

  #pace(client: pg.PoolClient, clock: VirtualClock) {
    const { processID } = client as unknown as { readonly processID: number };
    const isStuck = (): Promise<boolean> => this.#isBlocked(processID);
    return {
      query: (text: string, parameters: unknown[]) =>
        clock.outside(() => client.query(text, parameters), { latencyMs: LATENCY_MS, isStuck }),
      release: (error?: Error | boolean) => client.release(error),
    };
  }

  async #isBlocked(pid: number): Promise<boolean> {
    const { rows } = await this.#looking.query<{ blocked: boolean }>("select cardinality(pg_blocking_pids($1)) > 0 as blocked", [pid]);
    return rows[0]?.blocked === true;
  }
}
