import { z } from "zod";
import { FaultReport } from "./fault.ts";
import { GovernorName } from "./governor.ts";
import { ServerName } from "./names.ts";

/** What operators ask of servers. */
export const RequestInput = z.object({
  /** Name of an operator's action, for example "service.status". */
  action: z.string().max(80),
  /** A target expression; all servers when empty. */
  target: z.string().max(2_000).default(""),
  input: z.record(z.string(), z.unknown()).default({}),
  /** Servers decide by their own live facts; otherwise control decides by what it last heard of them. */
  broadcast: z.boolean().default(false),
  /** For each server, from the moment it is asked; the action's own limit by default. */
  timeoutMs: z.int().min(10).max(600_000).optional(),
  limits: z
    .object({
      atOnce: z.int().min(1).optional(),
      batch: z.object({ size: z.int().min(1), pauseMs: z.int().min(0).max(3_600_000) }).optional(),
      stopAfter: z.union([z.object({ failures: z.int().min(1) }), z.object({ percent: z.number().min(0).max(100) })]).optional(),
      deadlineMs: z.int().min(10).max(86_400_000).optional(),
    })
    .default({}),
  /** Only answers whose fields say so, as a target expression over them: `usedPercent>80`. */
  where: z.string().max(2_000).default(""),
  /** A limit over the whole yard that this request keeps, beside those of its action. */
  governor: GovernorName.optional(),
  /** Only so many of the servers, chosen at random. */
  sample: z.int().min(1).optional(),
});

export const SummedField = z.discriminatedUnion("kind", [
  z.object({ kind: z.literal("distribution"), counts: z.array(z.object({ value: z.string(), count: z.int() })) }),
  z.object({ kind: z.literal("range"), least: z.number(), median: z.number(), greatest: z.number() }),
  z.object({ kind: z.literal("total"), total: z.number() }),
]);
export type SummedField = z.infer<typeof SummedField>;

/** One line of the answer to a request: who is asked, each server's answer as it arrives (of some actions after parts of it), and what all come to. */
export const RequestLine = z.discriminatedUnion("kind", [
  z.object({
    kind: z.literal("asked"),
    request: z.string(),
    servers: z.array(ServerName),
    /** What keeps the request from asking all at once, beside its own limits. */
    governors: z.array(z.object({ name: GovernorName, limit: z.int() })),
  }),
  z.object({
    kind: z.literal("answer"),
    server: ServerName,
    durationMs: z.number(),
    output: z.unknown().optional(),
    fault: FaultReport.optional(),
  }),
  z.object({ kind: z.literal("part"), server: ServerName, part: z.unknown() }),
  z.object({
    kind: z.literal("summary"),
    durationMs: z.number(),
    answered: z.int(),
    /** Servers whose answer is a fault, or that gave none. */
    failed: z.array(ServerName),
    /** Servers that limits or a call-off left out. */
    notAsked: z.array(ServerName),
    sums: z.record(z.string(), SummedField),
  }),
]);
export type RequestLine = z.infer<typeof RequestLine>;
export type RequestAnswer = Extract<RequestLine, { kind: "answer" }>;
export type RequestSummary = Extract<RequestLine, { kind: "summary" }>;
export type RequestPart = Extract<RequestLine, { kind: "part" }>;
