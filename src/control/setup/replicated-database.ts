import { rm } from "node:fs/promises";
import { writeFileAtomic } from "#base/atomic-file.ts";
import { isFault } from "#base/fault.ts";
import type { Log } from "#base/log.ts";
import { until } from "#base/retry.ts";
import { run } from "#base/run.ts";
import { type ControlConfig, DATABASE_REPLICATED_PATH } from "#contract/control-config.ts";
import { controlServers } from "../brokers/members.ts";
import type { Secrets } from "../secrets.ts";
import { ensureRole, POSTGRESQL_UNIT, psql, setUpDatabase } from "./database.ts";
import { askEtcd, ensureEtcd } from "./etcd.ts";
import { ensureFiles, isThere } from "./file.ts";
import { ensurePeerCertificate } from "./peers.ts";
import {
  CONFIGURATION_KEY,
  DATA_DIRECTORY,
  INITIALIZE_KEY,
  patroniFiles,
  REPLICATION_ACCOUNT,
  REWIND_ACCOUNT,
  type ReplicaOptions,
  renderConfiguration,
} from "./replica-files.ts";
import { ensureUnit, STOP_MS, unitState } from "./unit.ts";

const PATRONI_UNIT = "patroni.service";
/** As long as it may take until the other control servers' setups have come as far. */
const OTHERS_MS = 180_000;
const READY_MS = 120_000;
/** A server that boots alone goes on without the others. */
const GLANCE_MS = 10_000;

export interface ReplicatedDatabase {
  readonly config: ControlConfig;
  readonly secrets: Secrets;
  /** Whether this is the control server whose database the others copy at the beginning. */
  readonly isFirst: boolean;
  readonly log: Log;
}

/**
 * PostgreSQL on the three control servers: Patroni says who leads, etcd who is right. Each server's setup does its part, and
 * waits for the others' the first time. May be broken off anywhere and run again.
 */
export async function setUpReplicatedDatabase({ config, secrets, isFirst, log }: ReplicatedDatabase): Promise<void> {
  const { yard, server, address, rejoins } = config;
  const options: ReplicaOptions = { yard, server, address, rejoins, members: controlServers(config) };
  await ensurePeerCertificate(secrets.peers, options);
  await ensureEtcd(options, log);
  if (await isThere(DATABASE_REPLICATED_PATH)) return keepReplica(options, log);
  await until("etcd on two of the three control servers", () => ensureConfiguration(options), { timeoutMs: OTHERS_MS });
  const isInitialized = await findInitialized(options);
  if (isFirst && !isInitialized && !rejoins) await takeOver(options);
  else await becomeCopy(options);
  log.info({ server }, "the database belongs to the three control servers");
}

/** From the second time on: what runs is not disturbed, and nothing waits for other servers. */
async function keepReplica(options: ReplicaOptions, log: Log): Promise<void> {
  await retireOwnPostgresql();
  await ensurePatroni(options);
  await until("etcd", () => ensureConfiguration(options), { timeoutMs: GLANCE_MS }).catch((thrown: unknown) => {
    if (!isFault(thrown, "wait.timed-out")) throw thrown;
    log.warn({ server: options.server }, "etcd has no majority yet: the database's settings are as they were");
  });
}

/** The database that was alone becomes the first of three. */
async function takeOver(options: ReplicaOptions): Promise<void> {
  await setUpDatabase();
  await ensureRole(REPLICATION_ACCOUNT, "login replication");
  await ensureRole(REWIND_ACCOUNT, "login");
  await psql(REWIND_RIGHTS.map((right) => `grant ${right} to ${REWIND_ACCOUNT};`).join(" "));
  // From here on nothing goes back: a data directory that is here is one of the three.
  await writeFileAtomic(DATABASE_REPLICATED_PATH, "");
  await retireOwnPostgresql();
  await ensurePatroni(options);
  await until("PostgreSQL to lead", () => isInRecovery(false), { timeoutMs: READY_MS });
}

/**
 * A copy of the leader's database in place of the one that came with the image: that one has the same system id on every
 * server, so that it would pass for a copy that is merely behind.
 */
async function becomeCopy(options: ReplicaOptions): Promise<void> {
  await until("the first control server's database", async () => ((await findInitialized(options)) ? true : null), {
    timeoutMs: OTHERS_MS,
  });
  await retireOwnPostgresql();
  await rm(DATA_DIRECTORY, { recursive: true, force: true });
  await run(["install", "-d", "-o", "postgres", "-g", "postgres", "-m", "700", DATA_DIRECTORY]);
  await writeFileAtomic(DATABASE_REPLICATED_PATH, "");
  await ensurePatroni(options);
  await until("a copy of the database", () => isInRecovery(true), { timeoutMs: READY_MS });
}

/** Masked first, so that nobody starts it again meanwhile. */
async function retireOwnPostgresql(): Promise<void> {
  for (const unit of [POSTGRESQL_UNIT, "postgresql.service"]) {
    const { enabled, active } = await unitState(unit);
    if (enabled === "enabled") await run(["systemctl", "disable", unit]);
    if (enabled !== "masked") await run(["systemctl", "mask", unit]);
    if (active !== "inactive") await run(["systemctl", "stop", unit], { timeoutMs: STOP_MS });
  }
}

/** Patroni takes most of its configuration without a restart, which would hand the lead on. */
async function ensurePatroni(options: ReplicaOptions): Promise<void> {
  await ensureUnit(PATRONI_UNIT, { hasChanged: await ensureFiles(patroniFiles(options)), takeUp: "reload-or-restart" });
}

/** Null while etcd has no majority. Written before any Patroni starts, so that none begins with settings of its own. */
async function ensureConfiguration(options: ReplicaOptions): Promise<true | null> {
  const wanted = renderConfiguration();
  if ((await askEtcd(options, "get", "--print-value-only", CONFIGURATION_KEY)) !== wanted)
    await askEtcd(options, "put", CONFIGURATION_KEY, wanted);
  return true;
}

async function findInitialized(options: ReplicaOptions): Promise<boolean> {
  return (await askEtcd(options, "get", "--print-value-only", INITIALIZE_KEY)) !== "";
}

async function isInRecovery(wanted: boolean): Promise<true | null> {
  return (await psql("select pg_is_in_recovery()")) === (wanted ? "t" : "f") ? true : null;
}

/** What pg_rewind reads on the leader (PostgreSQL's own list), and a checkpoint. */
const REWIND_RIGHTS = [
  "execute on function pg_catalog.pg_ls_dir(text, boolean, boolean)",
  "execute on function pg_catalog.pg_stat_file(text, boolean)",
  "execute on function pg_catalog.pg_read_binary_file(text)",
  "execute on function pg_catalog.pg_read_binary_file(text, bigint, bigint, boolean)",
  "pg_checkpoint",
];
