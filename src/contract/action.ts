import type { z } from "zod";

/** How often each value came; least, median and greatest number; numbers added up. */
export type Sum = "distribution" | "range" | "total";

/** An action that servers carry out on request: declared once, typed and validated at both ends. */
export interface Action<I extends z.ZodType = z.ZodType, O extends z.ZodType = z.ZodType> {
  /** "area.verb", also the last part of the subject it is asked on. */
  readonly name: string;
  /** One line for people. */
  readonly summary: string;
  readonly input: I;
  /** Shape of the last reply. */
  readonly output: O;
  /** How long a server may take. */
  readonly timeoutMs: number;
  /** Whether asking twice does no harm. */
  readonly idempotent: boolean;
  /** Fault codes it can end in beside the fabric's own. */
  readonly faults: readonly string[];
  /** How the answers of many servers are summed up, by field of the output; nothing is when absent. */
  readonly sums?: Readonly<Record<string, Sum>>;
}

/** Declares an action. */
export function action<I extends z.ZodType, O extends z.ZodType>(name: string, declared: Omit<Action<I, O>, "name">): Action<I, O> {
  return { name, ...declared };
}
