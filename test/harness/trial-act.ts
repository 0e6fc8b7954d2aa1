import { z } from "zod";
import { action } from "#contract/action.ts";

/** An action of which a test sees that it is carried out. */
export const act = action("trial.act", {
  summary: "Something that is seen",
  input: z.object({ text: z.string().max(100) }),
  output: z.object({ done: z.boolean() }),
  timeoutMs: 2_000,
  idempotent: true,
  faults: [],
});
