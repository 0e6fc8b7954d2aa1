/**
 * GET, without a token: whether the control server that is asked leads. 204 when it does; one that stands by answers this, and
 * everything else, with 503 and a fault of the code STANDBY: it has done nothing. No route of the table: it is about one server, not the yard.
 */
export const LEADER_PATH = "/v1/leader";

/** The code of what a control server answers that stands by. */
export const STANDBY = "control.standby";
