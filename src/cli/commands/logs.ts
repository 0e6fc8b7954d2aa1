import { setTimeout as sleep } from "node:timers/promises";
import { type Command, Option } from "commander";
import { logRoutes } from "#contract/api/logs.ts";
import { declare, wholeNumber } from "../command.ts";
import { printable } from "../render/printable.ts";
import { askPatiently } from "../wait.ts";

const FOLLOW_EVERY_MS = 1_000;

interface Lines {
  readonly lines: readonly { readonly server: string; readonly line: string }[];
  readonly silent: readonly string[];
}

/** `boxyard logs`. */
export function logsCommand(): Command {
  return declare<[string], { error?: boolean; lines: number; follow?: boolean; json?: boolean }, Lines>({
    usage: "logs <website>",
    summary: "A website's access or error log, from all its boxes",
    examples: ["logs s1", "logs s1 --error --lines 200", "logs s1 --follow"],
    options: (command) =>
      command
        .option("--error", "the error log")
        .addOption(new Option("--lines <n>", "so many lines of each box").argParser(wholeNumber).default(50))
        .option("-f, --follow", "go on with what comes, until Ctrl-C; with --json a document a line"),
    run: async ({ client, args: [website], options, progress }) => {
      const kind = options.error ? ("error" as const) : ("access" as const);
      const read = (cursors?: string) =>
        client.call(logRoutes.readLogs, {
          params: { website },
          input: { kind, lines: options.lines, ...(cursors === undefined ? {} : { cursors }) },
        });
      let answer = await read();
      for (const server of answer.silent) progress(`${server} does not answer: its lines are missing`);
      while (options.follow) {
        for (const line of answer.lines) process.stdout.write(`${options.json ? JSON.stringify(line) : renderLine(line)}\n`);
        await sleep(FOLLOW_EVERY_MS);
        const cursors = JSON.stringify(answer.cursors);
        answer = await askPatiently({ progress }, () => read(cursors));
      }
      return { lines: answer.lines, silent: answer.silent };
    },
    render: ({ lines }) => lines.map(renderLine).join("\n"),
  });
}

function renderLine({ server, line }: Lines["lines"][number]): string {
  return `${server}  ${printable(line)}`;
}
