import type { Event } from "#contract/events.ts";
import type { ServerName } from "#contract/names.ts";

/** Every subject and name on the bus, in one place; ARCHITECTURE.md says who may use which. */
export const subjects = {
  request: (server: ServerName, action: string) => `request.${server}.${action}`,
  requestsOf: (server: ServerName) => `request.${server}.>`,
  nudge: (server: ServerName) => `nudge.${server}`,
  /** What a server asks of control or hands in to it; in no stream. */
  handIn: (server: ServerName, what: "event" | "push" | "spec") => `from.${server}.${what}`,
  allHandedIn: (what: "event" | "push" | "spec") => `from.*.${what}`,
  status: (server: ServerName) => `status.${server}`,
  allStatuses: "status.*",
  event: (emitter: ServerName, kind: string) => `event.${emitter}.${kind}`,
  jobEvent: (emitter: ServerName, job: string) => `event.${emitter}.job.${job}`,
  refusals: "event.*.refused",
  jobEvents: (job: string) => `event.*.job.${job}`,
  allEvents: "event.>",
  /** The same deployment events live, in no stream: the git server listens, and nobody but control may publish. */
  deploymentNews: "news.deployment",
  push: (server: ServerName, website: string) => `push.${server}.${website}`,
  allPushes: "push.>",
  inboxOf: (name: string) => `_INBOX_${name}`,
  answers: "_ANSWER",
} as const;

/** Where an event stands in the stream. */
export function eventSubject(emitter: ServerName, event: Event): string {
  if (event.kind === "job") return subjects.jobEvent(emitter, event.job);
  return subjects.event(emitter, event.kind === "unknown" ? event.of : event.kind);
}

/** Where specs stood until control gave them out itself. */
export const FORMER_SPEC_STREAM = "KV_spec";
export const EVENT_STREAM = "EVENTS";
export const PUSH_STREAM = "PUSHES";
export const PUSH_CONSUMER = "control";
export const REFUSAL_CONSUMER = "audit";
