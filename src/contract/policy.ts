import { z } from "zod";
import { Target } from "./target.ts";

/** The caller of what control does by itself. */
export const CONTROL = "control";
/** The person that bin/up makes, and the role that may do everything. */
export const OPERATOR = "operator";

const reserved = (name: string): boolean => name !== CONTROL && name !== OPERATOR;

/** A person's name, as it stands in the audit. */
export const PersonName = z
  .string()
  .regex(/^[a-z][a-z0-9._-]{0,30}$/, "a person's name is 1–31 characters: a–z, 0–9, ., _ and -, starting with a letter")
  .refine(reserved, "this name is Boxyard's own");

/** What people can be, beside operators. */
export const PolicyRole = z
  .string()
  .regex(/^[a-z][a-z0-9_-]{0,30}$/, "a role is 1–31 characters: a–z, 0–9, _ and -, starting with a letter");

/** Names of actions; `*` stands for any letters. */
export const ActionPattern = z
  .string()
  .regex(/^[a-z*][a-z.*-]{0,79}$/, "an action is a name as in `boxyard actions`, * stands for any letters");

/** Actions that someone may ask servers for, and which servers. */
export const Grant = z.object({ actions: z.array(ActionPattern), target: Target });
export type Grant = z.infer<typeof Grant>;

/** Who may ask for what, by the caller's name; operators and control itself may everything and are not in here. */
export const Policy = z.record(z.string(), z.array(Grant));
export type Policy = z.infer<typeof Policy>;

/** A rule of the policy as people write it. */
export const Rule = z.object({
  number: z.int(),
  role: PolicyRole,
  actions: z.array(ActionPattern),
  /** A target expression. */
  target: z.string(),
});
export type Rule = z.infer<typeof Rule>;

export const Person = z.object({ name: z.string(), roles: z.array(z.string()), addedAt: z.string() });
export type Person = z.infer<typeof Person>;
