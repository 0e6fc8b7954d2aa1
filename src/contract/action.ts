import { z } from "zod";

/** How often each value came; least, median and greatest number; numbers added up. */
export type Sum = "distribution" | "range" | "total";

/** An action that servers carry out on request: declared once, typed and validated at both ends. */
export interface Action<I extends z.ZodType = z.ZodType, O extends z.ZodType = z.ZodType> {
  /** "area.verb", also the last part of the subject it is asked on. */
  readonly name: string;
  /** One line for people. */
  readonly summary: string;
  readonly input: I;
  /** Shape of the last reply. */
  readonly output: O;
  /** How long a server may take. */
  readonly timeoutMs: number;
  /** Whether asking twice does no harm. */
  readonly idempotent: boolean;
  /** Fault codes it can end in beside the fabric's own. */
  readonly faults: readonly string[];
  /** How the answers of many servers are summed up, by field of the output; nothing is when absent. */
  readonly sums?: Readonly<Record<string, Sum>>;
  /** Unless it answers once: any number of parts and then an end, or a job's id at once and the rest in events. */
  readonly manner?: "stream" | "job";
}

/** An action that answers in parts until it has ended or is cancelled. */
export interface StreamAction<I extends z.ZodType = z.ZodType, O extends z.ZodType = z.ZodType, P extends z.ZodType = z.ZodType>
  extends Action<I, O> {
  readonly manner: "stream";
  /** Shape of each part. */
  readonly part: P;
}

/** What a server answers at once to an action that is a job. */
export const JobStarted = z.object({ job: z.uuid() });

/** An action that goes on in the background, and outlives who asked for it; `timeoutMs` is for its beginning. */
export interface JobAction<I extends z.ZodType = z.ZodType, R extends z.ZodType = z.ZodType> extends Action<I, typeof JobStarted> {
  readonly manner: "job";
  /** What it comes to when it has ended well. */
  readonly result: R;
  /** How long it may work. */
  readonly limitMs: number;
}

/** Declares an action. */
export function action<I extends z.ZodType, O extends z.ZodType>(name: string, declared: Omit<Action<I, O>, "name">): Action<I, O> {
  return { name, ...declared };
}

/** Declares an action that answers in parts. */
export function streamAction<I extends z.ZodType, O extends z.ZodType, P extends z.ZodType>(
  name: string,
  declared: Omit<StreamAction<I, O, P>, "name" | "manner">,
): StreamAction<I, O, P> {
  return { name, manner: "stream", ...declared };
}

/** How long a server may take to begin a job. */
const BEGIN_MS = 5_000;

/** Declares an action that is a job. */
export function jobAction<I extends z.ZodType, R extends z.ZodType>(
  name: string,
  declared: Omit<JobAction<I, R>, "name" | "manner" | "output" | "timeoutMs">,
): JobAction<I, R> {
  return { name, manner: "job", output: JobStarted, timeoutMs: BEGIN_MS, ...declared };
}

/** Whether the action answers in parts. */
export function isStream(one: Action): one is StreamAction {
  return one.manner === "stream";
}

/** Whether the action is a job. */
export function isJob(one: Action): one is JobAction {
  return one.manner === "job";
}
