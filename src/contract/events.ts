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

/** Published by control when a server is created or removed, is fenced or returns. */
const ServerEvent = z.object({ kind: z.literal("server"), at: Timestamp, server: ServerName, line: z.string() });
export type ServerEvent = z.infer<typeof ServerEvent>;

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

/** Everything that stands in the stream EVENTS; subject `event.<emitter>.<kind>`, of jobs `event.<emitter>.job.<job>`. */
export const Event = z.discriminatedUnion("kind", [DeploymentEvent, ConvergedEvent, ServerEvent, JobEvent, RefusedEvent, LostEvent]);
export type Event = z.infer<typeof Event>;
