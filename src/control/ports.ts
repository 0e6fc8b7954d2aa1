/** Port of the control API. */
export const API_PORT = 8443;
/** Port of the message broker. */
export const BROKER_PORT = 4222;
