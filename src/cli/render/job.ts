import type { JobEvent } from "#contract/events.ts";

/** Enough of a job's id to name it. */
export function shortJob(job: string): string {
  return job.slice(0, 8);
}

/** What a server tells of a job, as one line. */
export function renderJobEvent({ job, action, state, line }: JobEvent): string {
  return `job ${shortJob(job)} ${action} ${state === line ? state : `${state}: ${line}`}`;
}
