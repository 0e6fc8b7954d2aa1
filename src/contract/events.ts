import { z } from "zod";
import { DeploymentState } from "./deployment.ts";
import { CommitId, ServerName, Timestamp, WebsiteId } from "./names.ts";

/** Published by control on `event.<control server>.deployment` at each step; `line` is what a person reads. */
export const DeploymentEvent = z.object({
  kind: z.literal("deployment"),
  at: Timestamp,
  deployment: z.int(),
  website: WebsiteId,
  push: z.string().nullable(),
  commit: CommitId,
  state: DeploymentState,
  /** Set when the event is of one server. */
  server: ServerName.nullable(),
  line: z.string(),
});
export type DeploymentEvent = z.infer<typeof DeploymentEvent>;

/** Published by an agent when a convergence turn changed something or failed; of very many, those that fit. */
const ConvergedEvent = z.object({
  kind: z.literal("converged"),
  at: Timestamp,
  server: ServerName,
  generation: z.int(),
  changed: z.array(z.string()).max(10_000),
  faults: z.array(z.object({ resource: z.string(), message: z.string() })).max(10_000),
});

/** Why control does not hear from a server: the cloud says that it is off or that there is no such server, or it runs in silence. */
export const AbsenceCause = z.enum(["stopped", "missing", "silent"]);
export type AbsenceCause = z.infer<typeof AbsenceCause>;

/**
 * What happened to a server. `created` is its first time, `replaced` means that the cloud had lost it, with everything on it;
 * `started` that it was there and off. `went` and `returned` are what control hears, whoever started it again.
 */
export const ServerChange = z.discriminatedUnion("what", [
  z.object({ what: z.literal("created") }),
  z.object({ what: z.literal("replaced") }),
  z.object({ what: z.literal("started") }),
  z.object({ what: z.literal("removed") }),
  z.object({ what: z.literal("went"), cause: AbsenceCause }),
  z.object({ what: z.literal("returned"), awayMs: z.int().nonnegative() }),
  z.object({ what: z.literal("fenced"), reason: z.string() }),
  z.object({ what: z.literal("unfenced") }),
  /** `fault` says why the broker could not be started again; null when it was. */
  z.object({ what: z.literal("broker-restarted"), fault: z.string().nullable() }),
]);
export type ServerChange = z.infer<typeof ServerChange>;

/** Published by control. */
const ServerEvent = z.object({ kind: z.literal("server"), at: Timestamp, server: ServerName, change: ServerChange });
export type ServerEvent = z.infer<typeof ServerEvent>;

/** Published by an agent when units that its roles need had ended: it has `started` them, or they were `restarted` without it. */
const UnitsEvent = z.object({
  kind: z.literal("units"),
  at: Timestamp,
  server: ServerName,
  how: z.enum(["started", "restarted"]),
  /** "mariadb.service". */
  units: z.array(z.string().max(200)).min(1).max(100),
});
export type UnitsEvent = z.infer<typeof UnitsEvent>;

/** Published in place of events by the server that has lost them. */
const LostEvent = z.object({
  kind: z.literal("lost"),
  at: Timestamp,
  server: ServerName,
  count: z.int().positive(),
  line: z.string().max(500),
});

export const JobState = z.enum(["running", "done", "failed", "cancelled", "interrupted"]);
export type JobState = z.infer<typeof JobState>;

/** Published by an agent when a job of it begins, gets on and ends; `interrupted` when the agent ended before the job. */
export const JobEvent = z.object({
  kind: z.literal("job"),
  at: Timestamp,
  server: ServerName,
  /** The request that began it: one job on each of its servers. */
  job: z.uuid(),
  action: z.string().max(80),
  caller: z.string().max(120),
  startedAt: Timestamp,
  state: JobState,
  /** What a person reads. */
  line: z.string().max(2_000),
  /** Of "done": as the action declares it; absent when it is too large to be kept. */
  result: z.unknown().optional(),
});
export type JobEvent = z.infer<typeof JobEvent>;

/** Published by an agent that was sent what it may not act on; what came in quick succession for the same reason is one event. */
const RefusedEvent = z.object({
  kind: z.literal("refused"),
  at: Timestamp,
  server: ServerName,
  /** "fabric.refused-signature", …: see fabric/envelope.ts. */
  code: z.string().max(80),
  action: z.string().max(120),
  line: z.string().max(500),
  count: z.int().positive(),
});
export type RefusedEvent = z.infer<typeof RefusedEvent>;

/** What servers and control publish. */
const PublishedEvent = z.discriminatedUnion("kind", [
  DeploymentEvent,
  ConvergedEvent,
  ServerEvent,
  UnitsEvent,
  JobEvent,
  RefusedEvent,
  LostEvent,
]);
const EventKind = z.string().regex(/^[a-z][a-z-]{0,39}$/);

/** An event as every version writes it. */
const AnyEvent = z.looseObject({
  kind: EventKind,
  at: Timestamp,
  server: ServerName.nullish(),
  line: z.string().max(2_000).nullish(),
});

/** An event of a kind, or in a form, that this version does not know: of another release. Readers get it, nobody publishes it. */
const UnknownEvent = z.object({
  kind: z.literal("unknown"),
  /** The kind as it was published. */
  of: EventKind,
  at: Timestamp,
  server: ServerName.nullable(),
  /** What a person reads, when it came with such a line. */
  line: z.string().nullable(),
  /** Everything else that it says. */
  details: z.record(z.string(), z.unknown()),
});

/** Everything that stands in the stream EVENTS; subject `event.<emitter>.<kind>`, of jobs `event.<emitter>.job.<job>`. */
export const Event = z.discriminatedUnion("kind", [...PublishedEvent.options, UnknownEvent]);
export type Event = z.infer<typeof Event>;

/** Reads an event as it was published; one that this version does not know is kept whole. Null for what is no event. */
export function readEvent(published: unknown): Event | null {
  const known = PublishedEvent.safeParse(published);
  if (known.success) return known.data;
  const other = AnyEvent.safeParse(published);
  if (!other.success) return null;
  const { kind, at, server = null, line = null, ...details } = other.data;
  return { kind: "unknown", of: kind, at, server, line, details };
}

const KNOWN_KINDS: ReadonlySet<string> = new Set(Event.options.map(({ shape }) => shape.kind.value));

/** Whether this version knows events of this kind, so that one that it cannot read is a fault of its publisher. */
export function isKnownKind(kind: string): boolean {
  return KNOWN_KINDS.has(kind);
}
