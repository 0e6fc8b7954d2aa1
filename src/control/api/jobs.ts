import * as jobs from "../requests/jobs.ts";
import type { Handler, StreamHandler } from "./handler.ts";

export const listJobs: Handler<"listJobs"> = ({ fabric }) => jobs.listJobs(fabric);

export const showJob: Handler<"showJob"> = ({ fabric }, { params: { job } }) => jobs.findJob(fabric, job);

export const watchJob: StreamHandler<"watchJob"> = ({ fabric }, { params: { job } }, gone) => jobs.watchJob(fabric, job, gone);

export const cancelJob: Handler<"cancelJob"> = ({ fabric }, { params: { job } }) => jobs.cancelJob(fabric, job);
