import type { Action } from "../action.ts";
import { agentRestart, agentVersion } from "./agent.ts";
import { tailLog } from "./logs.ts";
import { converge, disk, facts, ping, processes, restartUnits, scrub, status } from "./server.ts";
import { serviceRestart, serviceStatus } from "./service.ts";

/** What operators may ask servers for by `boxyard do`; all other actions are control's own. */
export const operatorActions: readonly Action[] = [
  ping,
  facts,
  status,
  converge,
  restartUnits,
  disk,
  processes,
  scrub,
  serviceStatus,
  serviceRestart,
  tailLog,
  agentVersion,
  agentRestart,
];

/** The action of this name, or undefined. */
export function findOperatorAction(name: string): Action | undefined {
  return operatorActions.find((action) => action.name === name);
}
