/** Port of the control API. */
export const API_PORT = 8443;
/** Port of the message broker. */
export const BROKER_PORT = 4222;
/** Port by which brokers speak to each other. */
export const ROUTE_PORT = 6222;
