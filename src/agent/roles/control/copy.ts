import { z } from "zod";
import { type Argv, run } from "#base/run.ts";
import type { Resource } from "../../converge/resource.ts";

/** What a copy gets to find its way by itself; Patroni makes a copy anew in less. */
const PATIENCE_MS = 180_000;

/** What the copy on this server and Patroni say of themselves. */
export interface CopyState {
  /** Whether this database is a copy that runs and gets nothing from the leader. */
  isApart(): Promise<boolean>;
  /** Whether another server's database leads, so that there is something to follow. */
  isLed(): Promise<boolean>;
  /** Throws this copy away and makes a new one; refused by Patroni on the leader. */
  renew(): Promise<void>;
}

/**
 * A copy of the database that follows the leader. One that was away for so long that the leader no longer has what comes
 * next would wait for it for ever: Patroni leaves that to people, here it becomes a new copy.
 */
export function copy(state: CopyState, now: () => number = () => performance.now()): Resource {
  let apartSince: number | null = null;
  return {
    id: "copy of the database",
    mismatch: async () => {
      const isBehind = (await state.isApart()) && (await state.isLed());
      apartSince = isBehind ? (apartSince ?? now()) : null;
      return apartSince === null || now() - apartSince < PATIENCE_MS ? null : "does not follow the leader";
    },
    apply: async () => {
      await state.renew();
      apartSince = null;
    },
  };
}

const Members = z.array(z.object({ Member: z.string(), Role: z.string(), State: z.string() }));

/** The copy on this server, as PostgreSQL and Patroni tell. */
export function copyOn(server: string): CopyState {
  return {
    isApart: async () => {
      const sql = "select pg_is_in_recovery() and not exists (select from pg_stat_wal_receiver where status = 'streaming')";
      // Not answering is Patroni's business: it starts or copies.
      return (await run(asPostgres("psql", "-XtAc", sql)).catch(() => null))?.stdout.trim() === "t";
    },
    isLed: async () => {
      const members = Members.parse(JSON.parse((await run(patronictl("list", "--format", "json"))).stdout));
      const isLeader = members.some(({ Member, Role, State }) => Member !== server && Role === "Leader" && State === "running");
      return isLeader && members.some(({ Member, State }) => Member === server && State === "running");
    },
    renew: async () => void (await run(patronictl("reinit", "--force", "control", server))),
  };
}

function patronictl(command: string, ...args: string[]): Argv {
  return asPostgres("patronictl", "--config-file", "/etc/patroni/config.yml", command, ...args);
}

function asPostgres(...argv: string[]): Argv {
  return ["runuser", "-u", "postgres", "--", ...argv];
}
