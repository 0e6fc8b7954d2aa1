import type { BrokerCluster, BrokerTrust } from "#contract/spec/broker.ts";

export interface BrokerOptions {
  readonly serverName: string;
  readonly address: string;
  readonly port: number;
  readonly certificatePath: string;
  readonly keyPath: string;
  /** The yard's certificate authority. */
  readonly caPath: string;
  readonly storeDirectory: string;
  /** Null for a broker that is alone. */
  readonly cluster: BrokerCluster | null;
  /** Whether what it acknowledges is on the disk; otherwise the kernel may have it for two minutes. Needs nats-server 2.10. */
  readonly isDurable: boolean;
}

export interface BrokerFile {
  readonly path: string;
  readonly content: string;
  readonly owner: string;
  readonly group: string;
  readonly mode: number;
}

/** Where a broker has its things on a server of a yard; made by whoever sets it up, for its own account. */
export const BROKER_DIRECTORY = "/etc/boxyard/broker";
export const BROKER_STORE = "/var/lib/boxyard/broker";
export const BROKER_CONFIG = "/etc/nats-server.conf";
export const BROKER_UNIT = "nats-server.service";

/** All files of a broker on a server of a yard. */
export function brokerFiles(
  trust: BrokerTrust,
  options: Pick<BrokerOptions, "serverName" | "address" | "port" | "cluster">,
  { certificatePem, keyPem, caPem }: { readonly certificatePem: string; readonly keyPem: string; readonly caPem: string },
): BrokerFile[] {
  const inDirectory = (name: string): string => `${BROKER_DIRECTORY}/${name}`;
  const [certificatePath, keyPath, caPath] = [inDirectory("certificate.pem"), inDirectory("key.pem"), inDirectory("ca.pem")];
  const config = renderBrokerConfig(trust, {
    ...options,
    ...{ certificatePath, keyPath, caPath },
    storeDirectory: BROKER_STORE,
    isDurable: true,
  });
  const own = { owner: "nats", group: "nats" };
  return [
    { path: certificatePath, content: certificatePem, ...own, mode: 0o644 },
    { path: keyPath, content: keyPem, ...own, mode: 0o600 },
    { path: caPath, content: caPem, ...own, mode: 0o644 },
    { path: BROKER_CONFIG, content: config, owner: "root", group: "nats", mode: 0o640 },
    { path: `/etc/systemd/system/${BROKER_UNIT}.d/boxyard.conf`, content: dropIn(), owner: "root", group: "root", mode: 0o644 },
  ];
}

/** Debian's unit reads its own file; ours says where ours is, and that the broker comes back whatever happens. */
function dropIn(): string {
  return [
    // A broker that begins before its address is there fails in the middle of reading what it has stored.
    "[Unit]",
    "Wants=systemd-networkd-wait-online.service",
    "After=systemd-networkd-wait-online.service",
    "[Service]",
    "ExecStart=",
    `ExecStart=/usr/sbin/nats-server -c ${BROKER_CONFIG}`,
    `ReadWritePaths=${BROKER_STORE}`,
    "Restart=always",
    "RestartSec=1",
    "LimitNOFILE=65536",
    "",
  ].join("\n");
}

const ROUTE_USER = "broker";

/**
 * Configuration of nats-server: TLS, JetStream, only users that the yard's account has signed and not revoked, and the
 * other brokers of the bus. The same options give the same text.
 */
export function renderBrokerConfig(trust: BrokerTrust, options: BrokerOptions): string {
  return [
    `server_name: ${JSON.stringify(options.serverName)}`,
    `listen: ${JSON.stringify(`${options.address}:${options.port}`)}`,
    "max_payload: 8388608",
    "max_connections: 65536",
    'write_deadline: "10s"',
    // A server that was cut off leaves a connection behind; the broker is not to keep it for minutes.
    'ping_interval: "5s"',
    "ping_max: 2",
    `tls { ${certificate(options)}, timeout: 5 }`,
    `jetstream { ${renderStore(options)}, max_memory_store: 64MB, max_file_store: 4GB }`,
    `operator: ${trust.operatorJwt}`,
    `system_account: ${trust.system}`,
    // Accounts lie on disk, where a newer one, with revocations, replaces what stands below. Brokers compare theirs that often.
    `resolver: { type: full, dir: ${JSON.stringify(`${options.storeDirectory}/accounts`)}, allow_delete: false, interval: "15s" }`,
    `resolver_preload: { ${trust.account}: ${trust.accountJwt}, ${trust.system}: ${trust.systemJwt} }`,
    ...(options.cluster === null ? [] : renderCluster(options.cluster, options)),
    "",
  ].join("\n");
}

function renderStore({ storeDirectory, isDurable }: BrokerOptions): string {
  return `store_dir: ${JSON.stringify(storeDirectory)}${isDurable ? ", sync_interval: always" : ""}`;
}

/** Mutual TLS keeps strangers out, the password the yard's other servers. Clients learn of brokers from control, not from here. */
function renderCluster({ name, port, password, members }: BrokerCluster, options: BrokerOptions): string[] {
  const others = members.filter((member) => member.name !== options.serverName);
  const routes = others.map(({ address }) => JSON.stringify(`tls://${ROUTE_USER}:${password}@${address}:${port}`));
  return [
    "cluster {",
    `  name: ${JSON.stringify(name)}`,
    `  listen: ${JSON.stringify(`${options.address}:${port}`)}`,
    "  no_advertise: true",
    `  authorization { user: ${JSON.stringify(ROUTE_USER)}, password: ${JSON.stringify(password)}, timeout: 5 }`,
    `  tls { ${certificate(options)}, ca_file: ${JSON.stringify(options.caPath)}, verify: true, timeout: 5 }`,
    `  routes: [${routes.join(", ")}]`,
    "}",
  ];
}

function certificate({ certificatePath, keyPath }: BrokerOptions): string {
  return `cert_file: ${JSON.stringify(certificatePath)}, key_file: ${JSON.stringify(keyPath)}`;
}
