import type { z } from "zod";
import type { Action } from "#contract/action.ts";
import type { ServerName } from "#contract/names.ts";
import type { Answer, ControlFabric } from "#fabric/fabric.ts";

/** What asking needs of the context. */
interface Asker {
  readonly fabric: ControlFabric;
  readonly signal: AbortSignal;
}

/** A question to servers; `timeoutMs` shortens the action's own time limit. */
interface Question<I extends z.ZodType> {
  readonly servers: readonly ServerName[];
  readonly input: z.input<I>;
  readonly timeoutMs?: number;
}

/**
 * Asks servers and gives each one's answer as it arrives; throws when the process stops: an answer that nobody waited for
 * is no fault of the server, and nothing may be concluded from it.
 */
export async function* ask<I extends z.ZodType, O extends z.ZodType>(
  { fabric, signal }: Asker,
  action: Action<I, O>,
  { servers, input, ...limit }: Question<I>,
): AsyncIterable<Answer<z.output<O>>> {
  signal.throwIfAborted();
  for await (const answer of fabric.ask(action, servers, input, { ...limit, signal })) {
    signal.throwIfAborted();
    yield answer;
  }
}

/** The same, collected. */
export async function askAll<I extends z.ZodType, O extends z.ZodType>(
  context: Asker,
  action: Action<I, O>,
  question: Question<I>,
): Promise<Answer<z.output<O>>[]> {
  const answers: Answer<z.output<O>>[] = [];
  for await (const answer of ask(context, action, question)) answers.push(answer);
  return answers;
}
