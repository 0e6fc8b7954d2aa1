import type { BusMember } from "../brokers/members.ts";
import { ETCD_PEER_PORT, ETCD_PORT, PATRONI_PORT, POSTGRESQL_PORT } from "../ports.ts";
import type { OwnedFile } from "./file.ts";

/** What a control server knows of the database that lies on the three. */
export interface ReplicaOptions {
  readonly yard: string;
  readonly server: string;
  readonly address: string;
  /** The three control servers, this one among them. */
  readonly members: readonly BusMember[];
  /** Whether it takes the place of one that is lost, among two that are there. */
  readonly rejoins: boolean;
}

/** What this server has to say who it is to the other control servers, and to know them by. */
const PEERS_DIRECTORY = "/etc/boxyard/peers";
export const PEER_AUTHORITY = `${PEERS_DIRECTORY}/ca.pem`;
export const PEER_CERTIFICATE = `${PEERS_DIRECTORY}/certificate.pem`;
/** The same key twice, since neither account is to have the other's files. */
export const POSTGRES_KEY = `${PEERS_DIRECTORY}/postgres-key.pem`;
export const ETCD_KEY = `${PEERS_DIRECTORY}/etcd-key.pem`;

/** Where etcd keeps what it is told. */
export const ETCD_DATA = "/var/lib/etcd/default";

/** Where Patroni keeps its things in etcd. */
const NAMESPACE = "/boxyard/";
const SCOPE = "control";
/** The system id of the database; there as soon as a database has been taken over. */
export const INITIALIZE_KEY = `${NAMESPACE}${SCOPE}/initialize`;
/** What Patroni calls the dynamic configuration. */
export const CONFIGURATION_KEY = `${NAMESPACE}${SCOPE}/config`;

/** Accounts that only other control servers use, by their certificates. */
export const REPLICATION_ACCOUNT = "replicator";
export const REWIND_ACCOUNT = "rewinder";

/** Patroni, with what Boxyard forbids it. */
const PATRONI = "/opt/boxyard/current/src/control/setup/guarded-patroni.py";

/** Debian's places of PostgreSQL 17. */
export const DATA_DIRECTORY = "/var/lib/postgresql/17/main";
const CONFIGURATION_DIRECTORY = "/etc/postgresql/17/main";
const BINARIES = "/usr/lib/postgresql/17/bin";
const SOCKETS = "/var/run/postgresql";

/** Files of etcd on a control server: one of three that know each other by name and certificate. */
export function etcdFiles(options: ReplicaOptions): OwnedFile[] {
  return [
    { path: "/etc/default/etcd", content: renderEtcd(options), ...readableByAll },
    { path: "/etc/systemd/system/etcd.service.d/boxyard.conf", content: ETCD_UNIT, ...readableByAll },
  ];
}

/** Files of Patroni on a control server. */
export function patroniFiles(options: ReplicaOptions): OwnedFile[] {
  return [
    { path: "/etc/patroni/config.yml", content: renderPatroni(options), ...readableByAll },
    { path: "/etc/systemd/system/patroni.service.d/boxyard.conf", content: PATRONI_UNIT, ...readableByAll },
  ];
}

const readableByAll = { owner: "root", group: "root", mode: 0o644 };

/** etcd's environment. Whoever speaks to it, a client or another etcd, has a certificate of the control servers' own authority. */
function renderEtcd({ yard, server, address, members, rejoins }: ReplicaOptions): string {
  const [client, peer] = [`https://${address}:${ETCD_PORT}`, `https://${address}:${ETCD_PEER_PORT}`];
  const tls = (prefix: string): string[] => [
    `ETCD_${prefix}CLIENT_CERT_AUTH=true`,
    `ETCD_${prefix}TRUSTED_CA_FILE=${PEER_AUTHORITY}`,
    `ETCD_${prefix}CERT_FILE=${PEER_CERTIFICATE}`,
    `ETCD_${prefix}KEY_FILE=${ETCD_KEY}`,
  ];
  return [
    `ETCD_NAME=${server}`,
    `ETCD_DATA_DIR=${ETCD_DATA}`,
    `ETCD_LISTEN_CLIENT_URLS=${client},https://127.0.0.1:${ETCD_PORT}`,
    `ETCD_ADVERTISE_CLIENT_URLS=${client}`,
    `ETCD_LISTEN_PEER_URLS=${peer}`,
    `ETCD_INITIAL_ADVERTISE_PEER_URLS=${peer}`,
    `ETCD_INITIAL_CLUSTER=${members.map((one) => `${one.name}=https://${one.address}:${ETCD_PEER_PORT}`).join(",")}`,
    `ETCD_INITIAL_CLUSTER_TOKEN=${yard}`,
    `ETCD_INITIAL_CLUSTER_STATE=${rejoins ? "existing" : "new"}`,
    ...tls(""),
    ...tls("PEER_"),
    // Patient with servers that get no turn for a while.
    "ETCD_HEARTBEAT_INTERVAL=250",
    "ETCD_ELECTION_TIMEOUT=2500",
    // Patroni writes every few seconds and looks at nothing old.
    "ETCD_AUTO_COMPACTION_MODE=periodic",
    "ETCD_AUTO_COMPACTION_RETENTION=1h",
    "ETCD_SNAPSHOT_COUNT=10000",
    "ETCD_LOG_LEVEL=warn",
    "",
  ].join("\n");
}

/**
 * Patroni's configuration of this server; JSON is YAML. There is no section on how to make a first database: Patroni takes
 * over the one that is there, or makes a copy of the leader's, and never an empty one.
 */
function renderPatroni({ server, address, members }: ReplicaOptions): string {
  const files = { certfile: PEER_CERTIFICATE, keyfile: POSTGRES_KEY };
  const bySocket = { use_unix_socket: true, use_unix_socket_repl: true };
  const certificate = { sslmode: "verify-full", sslcert: PEER_CERTIFICATE, sslkey: POSTGRES_KEY, sslrootcert: PEER_AUTHORITY };
  const config = {
    scope: SCOPE,
    namespace: NAMESPACE,
    name: server,
    etcd3: {
      hosts: members.map((one) => `${one.address}:${ETCD_PORT}`),
      protocol: "https",
      cacert: PEER_AUTHORITY,
      cert: PEER_CERTIFICATE,
      key: POSTGRES_KEY,
    },
    restapi: {
      listen: `${address}:${PATRONI_PORT}`,
      connect_address: `${address}:${PATRONI_PORT}`,
      ...files,
      cafile: PEER_AUTHORITY,
      verify_client: "required",
    },
    ctl: { ...files, cacert: PEER_AUTHORITY },
    watchdog: { mode: "off" },
    postgresql: {
      listen: `${address}:${POSTGRESQL_PORT}`,
      connect_address: `${address}:${POSTGRESQL_PORT}`,
      data_dir: DATA_DIRECTORY,
      config_dir: CONFIGURATION_DIRECTORY,
      bin_dir: BINARIES,
      ...bySocket,
      authentication: {
        superuser: { username: "postgres" },
        replication: { username: REPLICATION_ACCOUNT, ...certificate },
        rewind: { username: REWIND_ACCOUNT, ...certificate },
      },
      parameters: {
        unix_socket_directories: SOCKETS,
        ssl: true,
        ssl_cert_file: PEER_CERTIFICATE,
        ssl_key_file: POSTGRES_KEY,
        ssl_ca_file: PEER_AUTHORITY,
      },
      pg_hba: renderAccess(members),
      pg_ident: renderAccounts(members),
      create_replica_methods: ["basebackup"],
      basebackup: [{ checkpoint: "fast" }],
    },
  };
  return `${JSON.stringify(config, null, 2)}\n`;
}

/** Who may connect: accounts of this server as themselves, and the control servers by certificate for what keeps copies. */
function renderAccess(members: readonly BusMember[]): string[] {
  return [
    `local replication ${REPLICATION_ACCOUNT} peer map=patroni`,
    "local all all peer",
    ...members.flatMap(({ address }) => [
      `hostssl replication ${REPLICATION_ACCOUNT} ${address}/32 cert map=peers`,
      `hostssl postgres ${REWIND_ACCOUNT} ${address}/32 cert map=peers`,
    ]),
  ];
}

function renderAccounts(members: readonly BusMember[]): string[] {
  return [
    `patroni postgres ${REPLICATION_ACCOUNT}`,
    ...members.flatMap(({ name }) => [REPLICATION_ACCOUNT, REWIND_ACCOUNT].map((account) => `peers ${name} ${account}`)),
  ];
}

/** What all three do alike, kept in etcd. */
export function renderConfiguration(): string {
  return JSON.stringify({
    // Patroni asks that ttl be at least loop_wait and two times retry_timeout.
    ttl: 20,
    loop_wait: 5,
    retry_timeout: 7,
    primary_start_timeout: 60,
    maximum_lag_on_failover: 1_048_576,
    // What was answered lies on two servers; while no copy follows, the leader goes on without one.
    synchronous_mode: true,
    synchronous_mode_strict: false,
    synchronous_node_count: 1,
    // When etcd fails but all three databases see each other, the one that leads goes on.
    failsafe_mode: true,
    // A server that was away for a week goes on where it was.
    member_slots_ttl: 604_800,
    postgresql: {
      use_slots: true,
      use_pg_rewind: true,
      // Whoever cannot be rewound becomes a new copy, by itself.
      remove_data_directory_on_rewind_failure: true,
      remove_data_directory_on_diverged_timelines: true,
      parameters: { max_connections: 100, wal_keep_size: "128MB", max_slot_wal_keep_size: "2GB" },
    },
  });
}

const UNIT_HEAD = [
  "[Unit]",
  // Both bind to the server's address.
  "Wants=systemd-networkd-wait-online.service",
  "After=systemd-networkd-wait-online.service",
  "StartLimitIntervalSec=0",
];
const ALWAYS = ["Restart=always", "RestartSec=1"];

const ETCD_UNIT = [
  ...UNIT_HEAD,
  "[Service]",
  // Debian's unit counts as started when a majority is there; nobody is to wait for that who only wants it to run.
  "Type=exec",
  ...ALWAYS,
  "",
].join("\n");

const PATRONI_UNIT = [
  ...UNIT_HEAD,
  "After=etcd.service",
  "[Service]",
  // In place of Debian's, which it begins.
  "ExecStart=",
  `ExecStart=/usr/bin/python3 -P ${PATRONI} /etc/patroni/config.yml`,
  // Without Patroni nobody takes the lead from a PostgreSQL in time, so that it does not outlive it.
  "KillMode=mixed",
  "TimeoutStopSec=60",
  ...ALWAYS,
  "",
].join("\n");
