import { z } from "zod";

/** A route of the HTTP API: parameters in braces come from `params`, the rest of the input is the query (GET, DELETE) or the JSON body. */
export interface Route<P extends z.ZodObject = z.ZodObject, I extends z.ZodObject = z.ZodObject, O extends z.ZodType = z.ZodType> {
  readonly method: "GET" | "POST" | "DELETE" | "PATCH";
  readonly path: string;
  readonly summary: string;
  readonly params: P;
  readonly input: I;
  /** What is answered; for routes that stream, one line of it. */
  readonly output: O;
  /** Answers in lines of JSON as they come, until the request is done or the caller goes away. */
  readonly streams?: boolean;
  /** Open to everyone whom the operators have added; all others are for operators. */
  readonly isOpen?: boolean;
}

/** A route as declared, with its own types. */
export function route<const R extends Route>(declared: R): R {
  return declared;
}

/** Of a route that takes no parameters, or no input. */
export const none = z.object({});
