import { z } from "zod";

/** A question that a target may ask a server live, as in `service('varnish').active`: declared once, like an action. */
export interface Question<A extends z.ZodTuple = z.ZodTuple, F extends z.ZodObject = z.ZodObject> {
  readonly summary: string;
  readonly args: A;
  /** What may stand after the dot; each is text, a number or true or false. */
  readonly answer: F;
  /** The field that is meant when none is named. */
  readonly main: keyof z.output<F> & string;
}

function question<A extends z.ZodTuple, F extends z.ZodObject>(declared: Question<A, F>): Question<A, F> {
  return declared;
}

/** Every question, by its name. */
export const questions = {
  service: question({
    summary: "A service of systemd: active, state, restarts",
    args: z.tuple([z.string().regex(/^[a-zA-Z0-9@:_.-]{1,80}$/, "not a service's name")]),
    answer: z.object({ active: z.boolean(), state: z.string(), restarts: z.number() }),
    main: "state",
  }),
  disk: question({
    summary: "The file system of a path: free, size (bytes), used (percent)",
    args: z.tuple([z.string().startsWith("/", "not an absolute path").max(500)]),
    answer: z.object({ free: z.number(), size: z.number(), used: z.number() }),
    main: "used",
  }),
  release: question({
    summary: "The live release of a website: its commit, or a part of it with at least 4 digits",
    args: z.tuple([z.string().regex(/^s[1-9][0-9]{0,5}$/, "not a website's id")]),
    answer: z.object({ commit: z.string() }),
    main: "commit",
  }),
} as const;
export type QuestionName = keyof typeof questions;

/** Whether there is a question of this name. */
export function isQuestion(name: string): name is QuestionName {
  return Object.hasOwn(questions, name);
}
