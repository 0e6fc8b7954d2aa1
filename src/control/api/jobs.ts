import { Fault } from "#base/fault.ts";
import * as jobs from "../requests/jobs.ts";
import type { Handler, StreamHandler } from "./handler.ts";

export const listJobs: Handler<"listJobs"> = ({ fabric }) => jobs.listJobs(fabric);

export const showJob: Handler<"showJob"> = ({ fabric }, { params: { job } }) => jobs.findJob(fabric, job);

export const watchJob: StreamHandler<"watchJob"> = ({ fabric }, { params: { job } }, gone) => jobs.watchJob(fabric, job, gone);

export const cancelJob: Handler<"cancelJob"> = async ({ fabric }, { params: { job }, caller }) => {
  const { caller: begunBy } = await jobs.findJob(fabric, job);
  if (!caller.isOperator && caller.name !== begunBy)
    throw new Fault("policy.refused", `${begunBy} has begun this job: only they and operators may end it`);
  return jobs.cancelJob(fabric, job);
};
