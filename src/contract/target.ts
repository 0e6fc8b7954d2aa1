import { z } from "zod";

/** What is compared: a fact by its name, or the answer of a question that the server is asked live. */
const Subject = z.discriminatedUnion("kind", [
  z.object({ kind: z.literal("fact"), name: z.string().max(100) }),
  z.object({
    kind: z.literal("question"),
    name: z.string().max(100),
    args: z.array(z.string().max(1000)).max(8),
    /** Which part of the answer; null for its main one. */
    field: z.string().max(100).nullable(),
  }),
]);
export type Subject = z.infer<typeof Subject>;

export const Operator = z.enum(["=", "!=", "<=", ">=", "<", ">", "~", "!~"]);
export type Operator = z.infer<typeof Operator>;

/**
 * A set of servers, as `box and c1 and not memory.total<4G` means it. `named` matches a server by its name (`*` stands for
 * any letters) or by one of its labels: role, cluster, website. `is` holds when the subject is true.
 */
export type Target =
  | { readonly kind: "all" }
  | { readonly kind: "named"; readonly name: string }
  | { readonly kind: "is"; readonly subject: Subject }
  | { readonly kind: "compare"; readonly subject: Subject; readonly operator: Operator; readonly value: string }
  | { readonly kind: "and" | "or"; readonly of: readonly Target[] }
  | { readonly kind: "not"; readonly of: Target };

/** The same on the wire: expressions are parsed once, by who asks; servers get this form. */
export const Target: z.ZodType<Target> = z.lazy(() =>
  z.discriminatedUnion("kind", [
    z.object({ kind: z.literal("all") }),
    z.object({ kind: z.literal("named"), name: z.string().max(200) }),
    z.object({ kind: z.literal("is"), subject: Subject }),
    z.object({ kind: z.literal("compare"), subject: Subject, operator: Operator, value: z.string().max(1000) }),
    z.object({ kind: z.literal("and"), of: z.array(Target).max(1000) }),
    z.object({ kind: z.literal("or"), of: z.array(Target).max(1000) }),
    z.object({ kind: z.literal("not"), of: Target }),
  ]),
);
