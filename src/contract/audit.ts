import { z } from "zod";
import { ServerName, Timestamp } from "./names.ts";

/**
 * One line of the audit: a request that was made, refused before anybody was asked or by a server, or that has ended. It is
 * for servers (an action and a target expression), or for control itself ("website.create", and what it is about).
 */
export const AuditEntry = z.object({
  number: z.int(),
  at: Timestamp,
  /** The request's id: its entries belong together. */
  request: z.string(),
  caller: z.string(),
  action: z.string(),
  target: z.string(),
  kind: z.enum(["asked", "refused", "ended"]),
  details: z.object({
    /** Of "asked": what was asked for, secrets masked, and whom. */
    input: z.unknown().optional(),
    servers: z.array(ServerName).optional(),
    /** Of "refused", and of "ended" that failed: why. */
    fault: z.string().optional(),
    /** Of "refused": how often, where a server has told of it. */
    count: z.int().optional(),
    /** Of "ended", where control itself was asked: what came of it, secrets masked; absent when it is long. */
    output: z.unknown().optional(),
    /** Of "ended", where servers were asked. */
    answered: z.int().optional(),
    failed: z.array(ServerName).optional(),
    notAsked: z.array(ServerName).optional(),
  }),
});
export type AuditEntry = z.infer<typeof AuditEntry>;
