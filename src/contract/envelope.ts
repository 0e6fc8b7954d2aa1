import { z } from "zod";
import { FaultReport } from "./fault.ts";
import { ServerName, Timestamp, YardName } from "./names.ts";
import { Target } from "./target.ts";

/**
 * What the control plane signs (Ed25519 over the exact bytes of `payload`): a request or a spec.
 * On the wire: {"payload": "<JSON text of SignedPayload>", "signature": "<base64url>"}.
 */
export interface Envelope {
  readonly payload: string;
  readonly signature: string;
}

/**
 * Checked by its own schema, and only when it says more than "all": a schema that may contain itself makes every check of
 * what it is part of several times as slow.
 */
const Select = z.custom<Target>((value) => isAll(value) || Target.safeParse(value).success, "not a target");

function isAll(value: unknown): boolean {
  return typeof value === "object" && value !== null && "kind" in value && value.kind === "all";
}

export const SignedPayload = z.object({
  /** Unique per request; a server that has seen it before refuses. Specs use "spec-<generation>". */
  id: z.string().max(80),
  yard: YardName,
  /** The one server that this is for; "*" for all that `select` means, signed once for however many. */
  target: z.union([ServerName, z.literal("*")]),
  /** Action name, or "spec". */
  action: z.string().max(80),
  body: z.unknown(),
  /** The server decides by its own live facts whether it is meant; it is when absent. */
  select: Select.optional(),
  /** Who caused it: "control", or a person. */
  caller: z.string().max(120),
  /** Rises with every control service that takes the lead: what one signs that has lost it and does not know is refused. */
  term: z.int().nonnegative().default(0),
  issuedAt: Timestamp,
  /** Absent for specs, which stay valid until the next. */
  expiresAt: Timestamp.optional(),
});
export type SignedPayload = z.infer<typeof SignedPayload>;

/** What only one server can read, as the body of a spec: an ephemeral public key (SPKI) and what was encrypted with it; base64url. */
export const Sealed = z.object({ key: z.string().max(400), data: z.string() });
export type Sealed = z.infer<typeof Sealed>;

/** What a server hands in to be stored: an event or a push. The id is the same however often it comes. */
export const HandedIn = z.object({ id: z.string().min(1).max(100), body: z.unknown() });
export type HandedIn = z.infer<typeof HandedIn>;

/** Control's answer: it is stored, or why it is refused for good. */
export const Receipt = z.object({ refused: z.string().nullable() });
export type Receipt = z.infer<typeof Receipt>;

/** One message of an answer; an action may send any number with `last` false before the one with `last` true. */
export const Reply = z.object({
  server: ServerName,
  last: z.boolean(),
  durationMs: z.number(),
  output: z.unknown().optional(),
  fault: FaultReport.optional(),
});
export type Reply = z.infer<typeof Reply>;
