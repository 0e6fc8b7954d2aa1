import type { ServerName } from "#contract/names.ts";

/** Every subject and name on the bus, in one place; ARCHITECTURE.md says who may use which. */
export const subjects = {
  request: (server: ServerName, action: string) => `request.${server}.${action}`,
  requestsOf: (server: ServerName) => `request.${server}.>`,
  nudge: (server: ServerName) => `nudge.${server}`,
  spec: (server: ServerName) => `$KV.spec.${server}`,
  readSpec: (server: ServerName) => `$JS.API.DIRECT.GET.KV_spec.$KV.spec.${server}`,
  status: (server: ServerName) => `status.${server}`,
  allStatuses: "status.*",
  event: (emitter: ServerName, kind: string) => `event.${emitter}.${kind}`,
  jobEvent: (emitter: ServerName, job: string) => `event.${emitter}.job.${job}`,
  refusals: "event.*.refused",
  jobEvents: (job: string) => `event.*.job.${job}`,
  eventsOf: (emitter: ServerName) => `event.${emitter}.>`,
  allEvents: "event.>",
  deploymentEvents: "event.*.deployment",
  push: (server: ServerName, website: string) => `push.${server}.${website}`,
  pushesOf: (server: ServerName) => `push.${server}.>`,
  allPushes: "push.>",
  inboxOf: (name: string) => `_INBOX_${name}`,
} as const;

export const SPEC_BUCKET = "spec";
export const EVENT_STREAM = "EVENTS";
export const PUSH_STREAM = "PUSHES";
export const PUSH_CONSUMER = "control";
export const REFUSAL_CONSUMER = "audit";
