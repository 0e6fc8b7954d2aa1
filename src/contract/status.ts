import { z } from "zod";
import { CommitId, Role, ServerName, Timestamp, WebsiteId } from "./names.ts";

/** What a website has done in its own area so that something there cannot be as it should; nobody else is touched by it. */
export const WebsiteFault = z.object({
  website: WebsiteId,
  resource: z.string(),
  code: z.string(),
  message: z.string(),
  /** What helps. */
  next: z.string().nullable(),
});
export type WebsiteFault = z.infer<typeof WebsiteFault>;

/** The code of a fault that a restart may end which waits for its turn. */
export const NEEDS_RESTART = "converge.needs-restart";

/** What a server says of itself, its heartbeat. */
export const ServerStatus = z.object({
  server: ServerName,
  at: Timestamp,
  startedAt: Timestamp,
  /** Higher with each status that the process gives: what a lost connection brings late is told from what is new. */
  count: z.int().nonnegative(),
  /** How often it lost its broker and found one again: what it was asked meanwhile may not have arrived, or the answer not. */
  reconnections: z.int().nonnegative().optional(),
  /** Generation of the spec that it has fully reached; 0 before the first. */
  generation: z.int().nonnegative(),
  /** Generation it works on or failed at; equal to `generation` when converged. */
  targetGeneration: z.int().nonnegative(),
  roles: z.array(Role),
  /** Resources that could not be converged, with the checker's or system's own words. */
  faults: z.array(z.object({ resource: z.string(), code: z.string(), message: z.string() })),
  /** Absent: none. */
  websiteFaults: z.array(WebsiteFault).optional(),
  /** Units that run as they were before a change, until control says when to restart them. Absent: none. */
  restarts: z.array(z.string()).optional(),
  /** The live release of each website it carries. */
  releases: z.record(WebsiteId, CommitId.nullable()),
  facts: z.record(z.string(), z.union([z.string(), z.number(), z.boolean()])),
});
export type ServerStatus = z.infer<typeof ServerStatus>;

/** Heartbeats come this often; a server that has been silent for `REGISTRY_EXPIRY_MS` is unreachable. */
export const HEARTBEAT_MS = 3_000;
export const REGISTRY_EXPIRY_MS = 8_000;
/** Two heartbeats that are no further apart count as one unbroken time in which the server was heard of. */
export const GAP_MS = 6_000;

/** The fact that names which of the kernel's protections (`KERNEL_PROTECTIONS`) are off or too low, in one line; empty when all are on. */
export const UNPROTECTED_FACT = "kernel.unprotected";
