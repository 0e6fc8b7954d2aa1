import type { Argv } from "#base/run.ts";

/** Few requests take longer. */
const LAST_REQUEST_SECONDS = 60;

/**
 * Waits until the shell's condition holds, that no request is in hand, but not for ever: who restarts a web server has seen to it
 * that no new ones come.
 */
export function untilIdle(isIdle: string): Argv {
  return ["sh", "-c", `timeout ${LAST_REQUEST_SECONDS} sh -c "$1" || true`, "sh", `until ${isIdle}; do sleep 0.2; done`];
}
