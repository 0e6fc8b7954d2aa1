import { access, mkdir, readdir, rm, stat, statfs } from "node:fs/promises";
import { join } from "node:path";
import type { z } from "zod";
import { Fault } from "#base/fault.ts";
import type { snapshotDatabases } from "#contract/actions/database.ts";
import type { Resource } from "../../converge/resource.ts";
import { beginUnit, forgetUnit, readUnit, readUnitOutput, syncJournal } from "../../transient-unit.ts";
import { restoreScript, takeScript } from "./snapshot-scripts.ts";
import { ROOT_SOCKET, type RunSql } from "./sql.ts";

type Asked = z.output<typeof snapshotDatabases.input>;
type Told = z.output<typeof snapshotDatabases.output>;

/** One directory a database, readable to root only. */
const SNAPSHOTS = "/var/lib/boxyard/snapshots";

/** Either may take so long; where visitors wait meanwhile, they are let go after 15 minutes. */
const LIMIT_SECONDS = 600;
/** A failure is told with its last lines. */
const LAST_LINES = 20;
/** What a dump leaves free on the disk at least. */
const RESERVE_BYTES = 512 * 1024 * 1024;

/** Keeps databases as they were before a deployment's update, the newest deployment's alone, and puts them back. */
export class Snapshots {
  readonly #runSql: RunSql;
  readonly #directory: string;
  #turn: Promise<unknown> = Promise.resolve();

  constructor(runSql: RunSql, directory = SNAPSHOTS) {
    this.#runSql = runSql;
    this.#directory = directory;
  }

  /** Begins it, or tells how far it is. Fault "database.no-space". */
  take(asked: Asked): Promise<Told> {
    return this.#inTurn(async () => {
      const bytes = await this.#sizes(asked, "sql.zst");
      const unit = `boxyard-snapshot-${asked.deployment}.service`;
      return bytes === null ? this.#carryOut(unit, takeScript(ROOT_SOCKET), asked, () => this.#ensureSpace(asked)) : done(unit, bytes);
    });
  }

  /** The same. Fault "database.no-snapshot". */
  restore(asked: Asked): Promise<Told> {
    return this.#inTurn(async () => {
      const bytes = await this.#sizes(asked, "sql.zst");
      if (bytes === null)
        throw new Fault("database.no-snapshot", `there is no snapshot of ${asked.databases.join(", ")} for this deployment`);
      const unit = `boxyard-restore-${asked.deployment}.service`;
      const isRestored = (await this.#sizes(asked, "restored")) !== null;
      return isRestored ? done(unit, bytes) : this.#carryOut(unit, restoreScript(ROOT_SOCKET), asked, async () => undefined);
    });
  }

  /** Snapshots of databases that are gone are not kept. */
  ofOthersAreGone(databases: readonly string[]): Resource {
    const surplus = async (): Promise<string[]> =>
      (await readdir(this.#directory).catch(() => [])).filter((name) => !databases.includes(name));
    return {
      id: "no other snapshots",
      mismatch: async () => {
        const names = await surplus();
        return names.length === 0 ? null : `there are snapshots of ${names.join(", ")}`;
      },
      apply: async () => {
        for (const name of await surplus()) await rm(join(this.#directory, name), { recursive: true });
      },
    };
  }

  async #carryOut(unit: string, script: string, { databases, deployment }: Asked, prepare: () => Promise<void>): Promise<Told> {
    const { state } = await readUnit(unit);
    if (state === "running" || state === "done") return { state: "running", why: null, bytes: 0 };
    if (state !== "lost") {
      await syncJournal();
      const { lines } = await readUnitOutput(unit, { after: null, most: LAST_LINES });
      await forgetUnit(unit);
      const said = lines.join(" ");
      return { state: "failed", why: state === "timed-out" ? `it took longer than ${LIMIT_SECONDS} s` : said || "it was ended", bytes: 0 };
    }
    await prepare();
    await mkdir(this.#directory, { recursive: true, mode: 0o700 });
    await beginUnit({
      name: unit,
      command: ["/bin/bash", "-e", "-o", "pipefail", "-c", script, "boxyard", String(deployment), ...databases],
      limitSeconds: LIMIT_SECONDS,
      properties: ["Nice=5"],
      directory: this.#directory,
    });
    return { state: "running", why: null, bytes: 0 };
  }

  /** What these files need together; null when one is not there. */
  async #sizes({ databases, deployment }: Asked, ending: string): Promise<number | null> {
    const paths = databases.map((database) => join(this.#directory, database, `${deployment}.${ending}`));
    const areThere = await Promise.all(
      paths.map((path) =>
        access(path).then(
          () => true,
          () => false,
        ),
      ),
    );
    if (areThere.includes(false)) return null;
    const sizes = await Promise.all(paths.map(async (path) => (await stat(path)).size));
    return sizes.reduce((sum, size) => sum + size, 0);
  }

  /** As if the dump were as large as the tables: it is smaller. */
  async #ensureSpace({ databases }: Asked): Promise<void> {
    await mkdir(this.#directory, { recursive: true, mode: 0o700 });
    const { bavail, bsize } = await statfs(this.#directory);
    const names = databases.map((name) => `'${name}'`).join(", ");
    const [row = []] = await this.#runSql(
      `SELECT COALESCE(SUM(data_length + index_length), 0) FROM information_schema.tables WHERE table_schema IN (${names})`,
    );
    const [needed, free] = [Number(row[0] ?? 0) + RESERVE_BYTES, bavail * bsize];
    if (free >= needed) return;
    const inMb = (bytes: number): string => `${Math.ceil(bytes / 1024 / 1024)} MB`;
    throw new Fault("database.no-space", `a snapshot needs ${inMb(needed)}, and the database server has ${inMb(free)}`, {
      next: "free space on it, or deploy without “snapshot: database”",
    });
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const mine = this.#turn.then(work, work);
    this.#turn = mine;
    return mine;
  }
}

async function done(unit: string, bytes: number): Promise<Told> {
  await forgetUnit(unit);
  return { state: "done", why: null, bytes };
}
