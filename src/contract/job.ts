import { z } from "zod";
import { JobState } from "./events.ts";
import { ServerName, Timestamp } from "./names.ts";

/** A job as it was last heard of, on every server where it began. */
export const Job = z.object({
  job: z.uuid(),
  action: z.string(),
  caller: z.string(),
  startedAt: Timestamp,
  servers: z.array(
    z.object({
      server: ServerName,
      state: JobState,
      at: Timestamp,
      line: z.string(),
      /** A job that runs on a server which gives no sign of life may run or not. */
      isSilent: z.boolean(),
      /** Of "done": as the action declares it. */
      result: z.unknown().optional(),
    }),
  ),
  /** Whether it runs nowhere any more. */
  isOver: z.boolean(),
});
export type Job = z.infer<typeof Job>;

/** Enough of a job's id to name it. */
export function shortJob(job: string): string {
  return job.slice(0, 8);
}
