import { z } from "zod";
import { action } from "../action.ts";

/** Ends what a server does for an earlier request: the answer in parts of it, or its job. */
export const endRequest = action("request.end", {
  summary: "End what the server does for a request",
  input: z.object({ request: z.uuid() }),
  output: z.object({ wasUnderWay: z.boolean() }),
  timeoutMs: 5_000,
  idempotent: true,
  faults: [],
});
