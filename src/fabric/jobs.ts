import { readFile } from "node:fs/promises";
import type { z } from "zod";
import { writeFileAtomic } from "#base/atomic-file.ts";
import { timestamp } from "#base/clock.ts";
import { Fault, reportFault } from "#base/fault.ts";
import type { JobAction, JobStarted } from "#contract/action.ts";
import { JobEvent, type JobState } from "#contract/events.ts";

export interface JobsOptions {
  readonly server: string;
  /** Where it stands which jobs run, so that the next process can tell of those that this one left. */
  readonly path: string;
  readonly publish: (event: JobEvent) => Promise<void>;
}

/** The work of a job; `report` tells how far it is. */
export type JobWork = (context: { readonly signal: AbortSignal; readonly report: (line: string) => void }) => Promise<unknown>;

type Begun = Pick<JobEvent, "job" | "action" | "caller" | "startedAt">;

interface Running extends Begun {
  readonly stop: AbortController;
}

const MOST_AT_ONCE = 8;
/** How often a job may tell how far it is: at first each second, an old one twice a minute. What it says in between is left out. */
const REPORT_EVERY_MS = { least: 1_000, most: 30_000, shareOfAge: 0.1 };

/**
 * What a server does in the background, for requests that do not wait for it. Every job tells when it begins, gets on and
 * ends; one that its process did not see to the end is "interrupted", told of by the next process.
 */
export class Jobs {
  readonly #options: JobsOptions;
  readonly #running = new Map<string, Running>();
  #writing: Promise<void> = Promise.resolve();

  constructor(options: JobsOptions) {
    this.#options = options;
  }

  /** Tells of the jobs that an earlier process has left behind. */
  async tellInterrupted(): Promise<void> {
    for (const begun of await this.#readLeft()) await this.#tell(begun, "interrupted", "its agent was restarted");
    await this.#store();
  }

  /** Begins a job; it is on disk when this resolves. Fault "job.too-many" when the server has enough to do. */
  async begin(
    action: JobAction,
    work: JobWork,
    { id, caller }: { readonly id: string; readonly caller: string },
  ): Promise<z.output<typeof JobStarted>> {
    if (this.#running.size >= MOST_AT_ONCE)
      throw new Fault("job.too-many", `${this.#options.server} already works on ${MOST_AT_ONCE} jobs`, { next: "boxyard jobs lists them" });
    const running = { job: id, action: action.name, caller, startedAt: timestamp(), stop: new AbortController() };
    this.#running.set(id, running);
    await this.#store();
    await this.#tell(running, "running", "begun");
    void this.#carryOut(running, action, work);
    return { job: id };
  }

  /** Ends a job before its time; whether it was there. */
  end(job: string): boolean {
    const running = this.#running.get(job);
    running?.stop.abort();
    return running !== undefined;
  }

  /** Leaves all jobs as they are: this process ends, and the next one tells of them. */
  stop(): void {
    const left = [...this.#running.values()];
    this.#running.clear();
    for (const { stop } of left) stop.abort();
  }

  async #carryOut(running: Running, action: JobAction, work: JobWork): Promise<void> {
    const late = AbortSignal.timeout(action.limitMs);
    const signal = AbortSignal.any([running.stop.signal, late]);
    const startedAt = performance.now();
    let reportedAt = startedAt;
    const report = (line: string): void => {
      const now = performance.now();
      const { least, most, shareOfAge } = REPORT_EVERY_MS;
      const pause = Math.min(Math.max((now - startedAt) * shareOfAge, least), most);
      if (now - reportedAt < pause || !this.#running.has(running.job)) return;
      reportedAt = now;
      void this.#tell(running, "running", line);
    };
    const outcome = async (): Promise<[JobState, string, unknown?]> => {
      try {
        return ["done", "done", action.result.parse(await work({ signal, report }))];
      } catch (thrown) {
        if (running.stop.signal.aborted) return ["cancelled", "cancelled"];
        return ["failed", late.aborted ? `took longer than ${action.limitMs / 1000} s` : reportFault(thrown).message];
      }
    };
    const [state, line, result] = await outcome();
    // Not there any more: this process ends, and the job is the next one's to tell of.
    if (!this.#running.delete(running.job)) return;
    await this.#tell(running, state, line, result);
    await this.#store();
  }

  #tell({ job, action, caller, startedAt }: Begun, state: JobState, line: string, result?: unknown): Promise<void> {
    const { server, publish } = this.#options;
    const told = { job, action, caller, startedAt, state, line: line.slice(0, 2_000) };
    // What cannot be stored for want of room is not worth ending a process for.
    return publish({ kind: "job", at: timestamp(), server, ...told, ...(result === undefined ? {} : { result }) }).catch(() => undefined);
  }

  #store(): Promise<void> {
    const begun = [...this.#running.values()].map(({ stop, ...one }) => one);
    this.#writing = this.#writing
      .then(() => writeFileAtomic(this.#options.path, JSON.stringify(begun), { mode: 0o600 }))
      .catch(() => undefined);
    return this.#writing;
  }

  async #readLeft(): Promise<Begun[]> {
    const text = await readFile(this.#options.path, "utf8").catch(() => "[]");
    try {
      return Left.parse(JSON.parse(text));
    } catch {
      return [];
    }
  }
}

const Left = JobEvent.pick({ job: true, action: true, caller: true, startedAt: true }).array();
