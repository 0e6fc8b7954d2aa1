import type { Command } from "commander";
import { z } from "zod";
import { Fault } from "#base/fault.ts";
import { type Action, isJob, isStream } from "#contract/action.ts";
import { operatorActions } from "#contract/actions/operator.ts";
import { declare } from "../command.ts";
import { renderActionPages } from "../render/actions.ts";
import { renderTable } from "../render/table.ts";

/** An action as it is declared, its schemas as JSON Schema. */
interface Declared {
  readonly name: string;
  readonly summary: string;
  readonly manner: string;
  readonly timeoutMs: number;
  readonly idempotent: boolean;
  readonly faults: readonly string[];
  readonly input: unknown;
  readonly output: unknown;
  readonly part?: unknown;
  readonly result?: unknown;
}

/** `boxyard actions`. */
export function actionsCommand(): Command {
  return declare<[string | undefined], { markdown?: boolean }, Declared[]>({
    usage: "actions [name]",
    summary: "What servers can be asked for with `boxyard do`",
    examples: ["actions", "actions service.restart --markdown", "actions service.restart --json"],
    options: (command) => command.option("--markdown", "everything that is declared, as pages"),
    isLocal: true,
    run: async ({ args: [name] }) => {
      const chosen = operatorActions.filter((action) => name === undefined || action.name === name);
      if (chosen.length === 0) throw new Fault("action.unknown", `there is no action “${name}”`, { next: "boxyard actions" });
      return chosen.map(declared);
    },
    render: (actions, { markdown }) => {
      const names = new Set(actions.map(({ name }) => name));
      if (markdown) return renderActionPages(operatorActions.filter(({ name }) => names.has(name))).trimEnd();
      return renderTable(actions, [
        { title: "action", show: ({ name }) => name },
        { title: "does", show: ({ summary }) => summary },
      ]);
    },
  });
}

function declared(action: Action): Declared {
  const { name, summary, manner = "once", timeoutMs, idempotent, faults, input, output } = action;
  return {
    name,
    summary,
    manner,
    timeoutMs,
    idempotent,
    faults,
    input: z.toJSONSchema(input, { io: "input" }),
    output: z.toJSONSchema(output),
    ...(isStream(action) ? { part: z.toJSONSchema(action.part) } : {}),
    ...(isJob(action) ? { result: z.toJSONSchema(action.result) } : {}),
  };
}
