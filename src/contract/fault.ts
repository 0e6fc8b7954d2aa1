import { z } from "zod";

/** A fault as it crosses a boundary: a code for programs, words for people, and the remedy where there is one. */
export const FaultReport = z.object({ code: z.string(), message: z.string(), next: z.string().nullable() });
