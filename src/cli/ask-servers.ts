import type { z } from "zod";
import { Fault, isFault } from "#base/fault.ts";
import { requestRoutes } from "#contract/api/requests.ts";
import type { RequestAnswer, RequestInput, RequestPart, RequestSummary } from "#contract/request.ts";
import type { Client } from "./client.ts";

/** Everything that servers answered to one request. */
export interface Asked {
  /** The request's id; of what is a job also the job's. */
  readonly request: string;
  readonly answers: readonly RequestAnswer[];
  readonly summary: RequestSummary;
}

export interface AskServersOptions {
  readonly progress: (line: string) => void;
  /** Told of each answer as it arrives, with all servers that are asked. */
  readonly onAnswer?: (answer: RequestAnswer, servers: readonly string[]) => void;
  /** Told of each part of an answer. */
  readonly onPart?: (part: RequestPart, servers: readonly string[]) => void;
}

/** Asks servers for an action. Ctrl-C calls the request off, and what had been done is told; a second one ends the program. */
export async function askServers(client: Client, input: z.input<typeof RequestInput>, options: AskServersOptions): Promise<Asked> {
  const answers: RequestAnswer[] = [];
  let servers: readonly string[] = [];
  let request = "";
  let stopListening = (): void => undefined;
  try {
    for await (const line of client.stream(requestRoutes.request, { input })) {
      if (line.kind === "asked") {
        ({ request, servers } = line);
        for (const { name, limit } of line.governors) options.progress(`at most ${limit} at a time in the whole yard: governor ${name}`);
        stopListening = cancelOnInterrupt(client, request, options);
      } else if (line.kind === "answer") {
        answers.push(line);
        options.onAnswer?.(line, servers);
      } else if (line.kind === "part") options.onPart?.(line, servers);
      else return { request, answers, summary: line };
    }
  } catch (thrown) {
    if (request === "" || !isFault(thrown, "control.broken-off")) throw thrown;
  } finally {
    stopListening();
  }
  throw new Fault("request.cut-off", `control broke off after ${answers.length} of ${servers.length} answers`, {
    next: "what was asked may have been done all the same: boxyard status",
  });
}

function cancelOnInterrupt(client: Client, request: string, { progress }: AskServersOptions): () => void {
  const onInterrupt = (): void => {
    progress("calling it off: nobody else is asked (Ctrl-C again to leave)");
    client.call(requestRoutes.cancelRequest, { params: { request } }).catch(() => undefined);
  };
  process.once("SIGINT", onInterrupt);
  return () => process.off("SIGINT", onInterrupt);
}
