import type { AbsenceCause, Event, JobEvent, ServerChange, UnitsEvent } from "./events.ts";
import { shortJob } from "./job.ts";

/** What a person reads of an event: on the command line, in a push, on a page. One line, without its time and its server. */
export function eventLine(event: Event): string {
  switch (event.kind) {
    case "server":
      return serverLine(event.server, event.change);
    case "units":
      return unitsLine(event);
    case "deployment":
      return `deployment ${event.deployment} of ${event.website} ${event.state}: ${event.line}`;
    case "job":
      return jobLine(event);
    case "refused":
      return `refused ${event.count > 1 ? `${event.count} × ` : ""}${event.action}: ${event.line}`;
    case "lost":
      return event.line;
    case "converged":
      return convergedLine(event);
    case "unknown":
      return `${event.of}: ${event.line ?? JSON.stringify(event.details)}`;
  }
}

/** What a server reports of a job. */
function jobLine({ job, action, state, line }: JobEvent): string {
  return `job ${shortJob(job)} ${action} ${state === line ? state : `${state}: ${line}`}`;
}

/** Why control does not hear from a server, and what happens next. */
export const ABSENCE: Readonly<Record<AbsenceCause, string>> = {
  stopped: "it is off; control starts it",
  missing: "it is gone from the cloud; control makes it again",
  silent: "it runs and reports nothing: it is starting, its agent is stopped, or its network is cut",
};

function serverLine(server: string, change: ServerChange): string {
  switch (change.what) {
    case "created":
      return `${server} has been created`;
    case "replaced":
      return `${server} was gone and has been made again: what it alone held is lost`;
    case "started":
      return `${server} was off and has been started`;
    case "removed":
      return `${server} has been removed`;
    case "went":
      return `${server} is away: ${ABSENCE[change.cause]}`;
    case "returned":
      return `${server} is back after ${(change.awayMs / 1000).toFixed(1)} s`;
    case "fenced":
      return `${server} is fenced: ${change.reason}`;
    case "unfenced":
      return `${server} is right again: visitors are sent to it`;
    case "broker-restarted":
      return `the broker on ${server} did not catch up: ${change.fault === null ? "it was started again" : `to start it again failed: ${change.fault}`}`;
  }
}

function unitsLine({ how, units }: UnitsEvent): string {
  const names = units.join(" and ");
  return how === "started" ? `${names} had ended and ${units.length === 1 ? "was" : "were"} started again` : `${names} restarted`;
}

function convergedLine({ generation, changed, faults }: Extract<Event, { kind: "converged" }>): string {
  const failed = faults.map(({ resource, message }) => `${resource}: ${message}`);
  return [`generation ${generation}`, ...(changed.length === 0 ? [] : [`changed ${changed.join(", ")}`]), ...failed].join("; ");
}
