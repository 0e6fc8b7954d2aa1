import { jobRoutes } from "#contract/api/jobs.ts";
import type { Job } from "#contract/job.ts";
import type { Client } from "./client.ts";
import { printable } from "./render/printable.ts";

/** Follows a job until it is over, a line for each thing that servers tell, and gives what it came to. */
export async function watchJob(client: Client, job: string, say: (line: string) => void = () => undefined): Promise<Job> {
  for await (const { server, at, state, line } of client.stream(jobRoutes.watchJob, { params: { job } }))
    say(printable(`${at.slice(11, 19)}  ${server.padEnd(8)}  ${state === line ? state : `${state}: ${line}`}`));
  return client.call(jobRoutes.showJob, { params: { job } });
}
