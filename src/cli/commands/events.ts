import { type Command, Option } from "commander";
import type { z } from "zod";
import { eventRoutes } from "#contract/api/events.ts";
import { eventLine } from "#contract/event-line.ts";
import type { Client } from "../client.ts";
import { declare, wholeNumber } from "../command.ts";
import { printable } from "../render/printable.ts";
import { readPatiently } from "../wait.ts";

type Stored = z.output<typeof eventRoutes.events.output>;

interface Options {
  readonly follow?: boolean;
  readonly json?: boolean;
  readonly last: number;
  readonly after?: number;
  readonly target: string;
}

/** `boxyard events`. */
export function eventsCommand(): Command {
  return declare<[], Options, Stored[]>({
    usage: "events",
    summary: "What happened in the yard: deployments, servers that came, changed, failed or went",
    examples: ["events", "events --follow", "events --target 'box and c1' --last 200", "events --after 1200 --json"],
    options: (command) =>
      command
        .option("-f, --follow", "go on with what comes, until Ctrl-C; with --json a document a line")
        .addOption(new Option("--last <n>", "so many of the newest").argParser(wholeNumber).default(50))
        .addOption(new Option("--after <number>", "go on after the event of this number").argParser(wholeNumber))
        .option("--target <expression>", "only events of these servers", ""),
    run: async ({ client, options, progress }) => {
      const { follow = false, json } = options;
      const events: Stored[] = [];
      for await (const stored of readEvents(client, options, progress)) {
        if (follow) process.stdout.write(`${json ? JSON.stringify(stored) : renderEvent(stored)}\n`);
        else events.push(stored);
      }
      return events;
    },
    render: (events) => events.map(renderEvent).join("\n"),
  });
}

/** With --follow, on from the last one when control was away. */
async function* readEvents(
  client: Client,
  { follow = false, last, after, target }: Options,
  progress: (line: string) => void,
): AsyncIterable<Stored> {
  let known = after;
  const read = (): AsyncIterable<Stored> => {
    const input = { last, target, follow: String(follow), ...(known === undefined ? {} : { after: known }) };
    return client.stream(eventRoutes.events, { input });
  };
  for await (const stored of follow ? readPatiently({ progress }, read) : read()) {
    known = stored.number;
    yield stored;
  }
}

function renderEvent({ number, event }: Stored): string {
  const at = `${event.at.slice(0, 19).replace("T", " ")}`;
  return printable(`${String(number).padStart(6)}  ${at}  ${(event.server ?? "-").padEnd(8)}  ${eventLine(event)}`.replaceAll("\n", " "));
}
