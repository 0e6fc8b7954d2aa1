import { z } from "zod";
import { JobEvent } from "../events.ts";
import { Job } from "../job.ts";
import { ServerName } from "../names.ts";
import { none, route } from "./route.ts";

const ofJob = z.object({ job: z.uuid() });

export const jobRoutes = {
  listJobs: route({
    method: "GET",
    path: "/v1/jobs",
    summary: "Every job of the last 30 days, the oldest first",
    params: none,
    input: none,
    output: z.array(Job),
    isOpen: true,
  }),
  showJob: route({ method: "GET", path: "/v1/jobs/{job}", summary: "One job", params: ofJob, input: none, output: Job, isOpen: true }),
  watchJob: route({
    method: "GET",
    path: "/v1/jobs/{job}/events",
    summary: "What servers tell of a job, from its beginning until it is over",
    params: ofJob,
    input: none,
    output: JobEvent,
    streams: true,
    isOpen: true,
  }),
  cancelJob: route({
    method: "DELETE",
    path: "/v1/jobs/{job}",
    summary: "End a job on every server where it runs",
    params: ofJob,
    input: none,
    output: z.object({ ended: z.array(ServerName), failed: z.array(ServerName) }),
    isOpen: true,
  }),
} as const;
