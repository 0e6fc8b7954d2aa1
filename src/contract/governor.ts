import { z } from "zod";
import { ServerName, Timestamp } from "./names.ts";
import { ActionPattern } from "./policy.ts";

export const GovernorName = z
  .string()
  .regex(/^[a-z][a-z0-9._-]{0,40}$/, "a governor's name is 1–41 characters: a–z, 0–9, ., _ and -, starting with a letter");

/** A limit over the whole yard: however many requests there are, at most so many servers at a time do what it governs. */
export const Governor = z.object({
  name: GovernorName,
  limit: z.int().min(1).max(10_000),
  /** Every request for one of these is governed; others that name it. */
  actions: z.array(ActionPattern),
  /** Servers that do it now. */
  holders: z.array(z.object({ server: ServerName, request: z.string(), since: Timestamp, until: Timestamp })),
});
export type Governor = z.infer<typeof Governor>;
