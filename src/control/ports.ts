/** Port of the control API. */
export const API_PORT = 8443;
/** Port of the message broker. */
export const BROKER_PORT = 4222;
/** Port by which brokers speak to each other. */
export const ROUTE_PORT = 6222;
/** Ports that only control servers use, among each other: etcd for its clients and for its peers, Patroni, PostgreSQL. */
export const ETCD_PORT = 2379;
export const ETCD_PEER_PORT = 2380;
export const PATRONI_PORT = 8008;
export const POSTGRESQL_PORT = 5432;
