import { Fault } from "#base/fault.ts";
import type { ServerName } from "#contract/names.ts";
import type { ControlFabric } from "#fabric/fabric.ts";

/** Servers refuse what was signed more than 5 s away from their own time; before that it should be known. */
const LIMIT_MS = 3_000;

/** The fault of a server whose clock is so far from control's that it refuses what control asks, or soon will; null when it is right. */
export function wrongClock(fabric: Pick<ControlFabric, "clockOffsetMs">, server: ServerName): Fault | null {
  const offsetMs = fabric.clockOffsetMs(server);
  if (Math.abs(offsetMs) <= LIMIT_MS) return null;
  const seconds = Math.round(Math.abs(offsetMs) / 1000);
  const direction = offsetMs > 0 ? "ahead of" : "behind";
  return new Fault(
    "server.wrong-clock",
    `its clock is ${seconds} s ${direction} control's: it refuses what it cannot judge; set the clock`,
  );
}
