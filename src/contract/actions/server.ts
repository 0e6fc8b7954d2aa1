import { z } from "zod";
import { action } from "../action.ts";
import { Timestamp } from "../names.ts";

/** Answers at once: is the server there, and what does its clock say? */
export const ping = action("server.ping", {
  summary: "Answer with the server's clock",
  input: z.object({}),
  output: z.object({ at: Timestamp, generation: z.int() }),
  timeoutMs: 5_000,
  idempotent: true,
  faults: [],
});

/** Converges now and answers when the turn has ended. */
export const converge = action("server.converge", {
  summary: "Converge to the server's spec now",
  input: z.object({}),
  output: z.object({ generation: z.int(), faults: z.array(z.object({ resource: z.string(), message: z.string() })) }),
  timeoutMs: 60_000,
  idempotent: true,
  faults: [],
});
