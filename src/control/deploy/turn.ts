import { type Clock, timestamp } from "#base/clock.ts";
import { Fault, type FaultReport } from "#base/fault.ts";
import type { DeploymentEvent } from "#contract/events.ts";
import type { ServerName } from "#contract/names.ts";
import type { Answer } from "#fabric/fabric.ts";
import { type DeploymentRecord, deploymentServers, moveState, type ServerNote, type StateMove } from "../store/deployments.ts";
import { type Carrier, findWebsiteOnYard, type WebsiteOnYard } from "../store/website-on-yard.ts";
import type { DeployContext } from "./context.ts";
import { type Journal, openJournal } from "./journal.ts";
import { faultLine } from "./lines.ts";
import { type Before, isFinal } from "./states.ts";

/** One deployment in the hands of this process: what it is, where it runs, and what has happened. */
export interface Turn {
  readonly context: DeployContext;
  readonly journal: Journal;
  /** As persisted; every move replaces it. */
  deployment: DeploymentRecord;
  /** The website as its rows stood when they were last looked at; null when it was deleted. */
  site: WebsiteOnYard | null;
  /** The boxes and the shell server that take part; fewer when the deployment goes on without some. */
  carriers: readonly Carrier[];
  /** Whether the present `switching` began in this turn, so that no earlier request for it can be under way. */
  isFreshSwitch: boolean;
}

/** A server that did not do its part, and why. */
export interface ServerFault {
  readonly server: ServerName;
  readonly fault: FaultReport;
}

/** Takes a deployment up where it stands: those who began it, were not left out and still exist take part. */
export async function openTurn(context: DeployContext, deployment: DeploymentRecord): Promise<Turn> {
  const [site, begun] = await Promise.all([
    findWebsiteOnYard(context.store, deployment.website),
    deploymentServers(context.store, deployment.id),
  ]);
  const names = new Set(begun.filter(({ isLeftOut }) => !isLeftOut).map(({ name }) => name));
  const carriers = (site?.carriers ?? []).filter((carrier) => begun.length === 0 || names.has(carrier.name));
  return { context, journal: openJournal(context, deployment.id), deployment, site, carriers, isFreshSwitch: false };
}

/** Looks at the website's rows again, and at which of its servers are fenced: from `switching` on to the end none returns to rotation. */
export async function lookAgain(turn: Turn): Promise<void> {
  turn.site = await findWebsiteOnYard(turn.context.store, turn.deployment.website);
  const now = new Map((turn.site?.carriers ?? []).map((carrier) => [carrier.name, carrier]));
  turn.carriers = turn.carriers.map((carrier) => now.get(carrier.name) ?? carrier);
}

/** What a move may carry beside the states; `line` is what people read of it. */
export interface MoveOptions
  extends Pick<StateMove, "reason" | "previous" | "switchAtMicros" | "isAfterDue" | "procedure" | "release" | "servers"> {
  readonly line: string;
}

type MovingTurn = Pick<Turn, "context" | "journal" | "deployment">;

/**
 * Moves the deployment by one compare-and-set and tells everybody.
 * Throws Fault "deployment.moved" when somebody else moved it: whoever looks again sees where it stands.
 */
export async function move<To extends DeploymentRecord["state"]>(
  turn: MovingTurn,
  states: { from: Before<To>; to: To },
  { line, ...rest }: MoveOptions,
): Promise<void> {
  const { context, deployment, journal } = turn;
  const event = eventOf(context.clock, deployment, { state: states.to, server: null, line });
  const finished = isFinal(states.to) ? { finishedAtMicros: context.clock.nowMicros() } : {};
  const hasMoved = await journal.storeWith((events) =>
    moveState(context.store, { id: deployment.id, ...states, ...rest, ...finished, events: [...events, event] }),
  );
  if (!hasMoved)
    throw new Fault("deployment.moved", `cannot move deployment ${deployment.id} from ${states.from}: it is not there any more`);
  turn.deployment = {
    ...deployment,
    state: states.to,
    reason: rest.reason ?? deployment.reason,
    previous: rest.previous === undefined ? deployment.previous : rest.previous,
    ...rest.procedure,
    switchAtMicros: rest.switchAtMicros ?? deployment.switchAtMicros,
  };
  journal.publish(event);
  context.log.info({ deployment: deployment.id, website: deployment.website, state: states.to }, "deployment moved");
  if (rest.release !== undefined) context.onRowsChanged();
}

/** Tells something of the deployment, or of one server in it, without moving it. */
export function note({ context, deployment, journal }: Turn, line: string, server: ServerName | null = null): void {
  journal.note(eventOf(context.clock, deployment, { state: deployment.state, server, line }));
}

/** The answers that are faults. */
export function faultsOf(answers: readonly Answer<unknown>[]): ServerFault[] {
  return answers.flatMap(({ server, fault }) => (fault === undefined ? [] : [{ server, fault }]));
}

/** The boxes of the website's cluster that have no part in the deployment. */
export function absentBoxes({ site, carriers }: Turn): readonly Carrier[] {
  const taking = new Set(carriers.map(({ name }) => name));
  return (site?.carriers ?? []).filter(({ name, role }) => role === "box" && !taking.has(name));
}

/** What servers that failed say in the deployment's record. */
export function notesOf({ carriers }: Turn, faults: readonly ServerFault[]): ServerNote[] {
  return carriers.flatMap(({ name, role }) => {
    const failed = faults.find((one) => one.server === name);
    return failed === undefined ? [] : [{ name, role, error: faultLine(name, failed.fault) }];
  });
}

/** The faults without those of servers that have been removed from the yard meanwhile: nobody waits for them. */
export async function withoutRemoved({ context, deployment }: Turn, faults: readonly ServerFault[]): Promise<readonly ServerFault[]> {
  if (faults.length === 0) return faults;
  const site = await findWebsiteOnYard(context.store, deployment.website);
  if (site === null) return faults;
  const present = new Set(site.carriers.map((carrier) => carrier.name));
  return faults.filter((one) => present.has(one.server));
}

function eventOf(clock: Clock, deployment: DeploymentRecord, said: Pick<DeploymentEvent, "state" | "server" | "line">): DeploymentEvent {
  const { id, website, push, commit } = deployment;
  return { kind: "deployment", at: timestamp(clock), deployment: id, website, push, commit, ...said };
}
