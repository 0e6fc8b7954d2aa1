import type { Command } from "commander";
import { Fault } from "#base/fault.ts";
import { jobRoutes } from "#contract/api/jobs.ts";
import type { Job } from "#contract/job.ts";
import { shortJob } from "#contract/job.ts";
import type { Client } from "../client.ts";
import { declare } from "../command.ts";
import { printable } from "../render/printable.ts";
import { renderTable } from "../render/table.ts";
import { watchJob } from "../watch-job.ts";

interface Options {
  readonly watch?: boolean;
  readonly cancel?: boolean;
  readonly json?: boolean;
}

/** `boxyard jobs`. */
export function jobsCommand(): Command {
  return declare<[string | undefined], Options, Job[]>({
    usage: "jobs [job]",
    summary: "Work that servers do in the background: all of the last 30 days, or one with what it came to",
    examples: ["do server.scrub --target box", "jobs", "jobs 3fa85f64", "jobs 3fa85f64 --watch", "jobs 3fa85f64 --cancel"],
    options: (command) =>
      command
        .option("--watch", "tell how it gets on, until it is over; Ctrl-C leaves it running")
        .option("--cancel", "end it on every server where it runs"),
    run: async ({ client, args: [given], options: { watch, cancel, json }, progress }) => {
      const all = await client.call(jobRoutes.listJobs);
      if (given === undefined) {
        if (watch || cancel) throw new Fault("input.invalid", "say which job", { next: "boxyard jobs" });
        return all;
      }
      const { job } = chosen(all, given);
      if (cancel) await endJob(client, job, progress);
      if (watch || cancel) return [await watchJob(client, job, watch && !json ? progress : undefined)];
      return [await client.call(jobRoutes.showJob, { params: { job } })];
    },
    render: (jobs, { watch, cancel }) => renderJobs(jobs, watch === true || cancel === true || jobs.length === 1),
    exitCode: (jobs) =>
      jobs.length === 1 && jobs[0]?.servers.some(({ state, isSilent }) => isSilent || state === "failed" || state === "interrupted")
        ? 1
        : 0,
  });
}

/** The job of this id, or of the beginning of one that only it has. */
function chosen(all: readonly Job[], given: string): Job {
  const [job, other] = all.filter(({ job }) => job.startsWith(given));
  if (job === undefined) throw new Fault("job.unknown", `there is no job ${given}`, { next: "see which there are: boxyard jobs" });
  if (other !== undefined)
    throw new Fault("job.unknown", `“${given}” is the beginning of more than one job`, { next: "give more of it: boxyard jobs" });
  return job;
}

async function endJob(client: Client, job: string, progress: (line: string) => void): Promise<void> {
  const { failed } = await client.call(jobRoutes.cancelJob, { params: { job } });
  if (failed.length > 0) progress(`could not be told to end: ${failed.join(" ")}`);
}

function renderJobs(jobs: readonly Job[], isWhole: boolean): string {
  const rows = jobs.flatMap(({ job, action, caller, startedAt, servers }) =>
    servers.map((on) => ({ job, action, caller, startedAt, ...on })),
  );
  const table = renderTable(rows, [
    { title: "job", show: ({ job }) => shortJob(job) },
    { title: "action", show: ({ action }) => action },
    { title: "by", show: ({ caller }) => caller },
    { title: "begun", show: ({ startedAt }) => startedAt.slice(0, 19).replace("T", " ") },
    { title: "server", show: ({ server }) => server },
    { title: "state", show: ({ state, isSilent }) => (isSilent ? `${state}, but its server is silent` : state) },
    { title: "", show: ({ state, line }) => (line === state ? "" : line) },
  ]);
  const results = rows.flatMap(({ server, result }) => (result === undefined ? [] : [`${server}: ${JSON.stringify(result)}`]));
  return isWhole && results.length > 0 ? printable([table, "", ...results].join("\n")) : table;
}
