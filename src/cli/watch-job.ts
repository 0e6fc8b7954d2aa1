import { jobRoutes } from "#contract/api/jobs.ts";
import type { JobEvent } from "#contract/events.ts";
import type { Job } from "#contract/job.ts";
import type { Client } from "./client.ts";
import { printable } from "./render/printable.ts";
import { readPatiently } from "./wait.ts";

/** Follows a job until it is over, a line for each thing that servers tell, and gives what it came to. */
export async function watchJob(client: Client, job: string, say: (line: string) => void = () => undefined): Promise<Job> {
  let told = 0;
  const read = async function* (): AsyncIterable<JobEvent> {
    let nth = 0;
    // It is told from its beginning, also when control was away meanwhile.
    for await (const event of client.stream(jobRoutes.watchJob, { params: { job } })) if (++nth > told) yield event;
  };
  for await (const { server, at, state, line } of readPatiently({ progress: say }, read)) {
    told++;
    say(printable(`${at.slice(11, 19)}  ${server.padEnd(8)}  ${state === line ? state : `${state}: ${line}`}`));
  }
  return client.call(jobRoutes.showJob, { params: { job } });
}
