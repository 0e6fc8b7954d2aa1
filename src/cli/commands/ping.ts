import { type Command, Option } from "commander";
import { askServers } from "../ask-servers.ts";
import { declare, seconds } from "../command.ts";
import { renderTable } from "../render/table.ts";

interface Pong {
  readonly server: string;
  readonly durationMs: number;
  readonly error: string | null;
}

/** `boxyard ping`. */
export function pingCommand(): Command {
  return declare<[string[]], { timeout: number }, Pong[]>({
    usage: "ping [target...]",
    summary: "Ask servers for a sign of life; all when there is no target",
    examples: ["ping", "ping c1", "ping box and not c2", "ping s1 --timeout 0.5"],
    options: (command) =>
      command.addOption(new Option("--timeout <seconds>", "how long to wait for an answer").argParser(seconds).default(2)),
    run: async ({ client, args: [target], options: { timeout }, progress }) => {
      const input = { action: "server.ping", target: target.join(" "), timeoutMs: Math.round(timeout * 1000) };
      const { answers } = await askServers(client, input, { progress });
      return answers.map(({ server, durationMs, fault }) => ({ server, durationMs, error: fault?.message ?? null }));
    },
    render: (replies) =>
      renderTable(replies, [
        { title: "server", show: ({ server }) => server },
        { title: "answer", show: ({ error, durationMs }) => error ?? `${durationMs.toFixed(1)} ms` },
      ]),
    exitCode: (replies) => (replies.some(({ error }) => error !== null) ? 1 : 0),
  });
}
