import { type Command, InvalidArgumentError, Option } from "commander";
import { z } from "zod";
import { type Action, isJob, isStream } from "#contract/action.ts";
import { operatorActions } from "#contract/actions/operator.ts";
import { shortJob } from "#contract/job.ts";
import type { RequestAnswer, RequestInput, SummedField } from "#contract/request.ts";
import { type Asked, type AskServersOptions, askServers } from "../ask-servers.ts";
import type { Client } from "../client.ts";
import { declare, group, seconds, wholeNumber } from "../command.ts";
import { printable } from "../render/printable.ts";
import { renderTable } from "../render/table.ts";
import { watchJob } from "../watch-job.ts";

/** `boxyard do`: every action that operators may ask for, made from its declaration. */
export function doCommand(): Command {
  return group("do", "Ask servers for an action; `boxyard actions` lists them", operatorActions.map(commandOf));
}

interface Options {
  readonly target: string;
  readonly broadcast?: boolean;
  readonly where?: string;
  readonly sort?: string;
  readonly table?: boolean;
  readonly names?: boolean;
  readonly json?: boolean;
  readonly sample?: number;
  readonly atOnce?: number;
  readonly batch?: number;
  readonly governor?: string;
  readonly pause: number;
  readonly stopAfter?: { failures: number } | { percent: number };
  readonly timeout?: number;
  readonly deadline?: number;
  readonly watch?: boolean;
}

function commandOf(action: Action): Command {
  const inputs = inputsOf(action);
  return declare<[], Options, Asked>({
    usage: action.name,
    summary: action.summary,
    examples: [
      `do ${action.name}${inputs
        .filter(({ isRequired }) => isRequired)
        .map(exampleOf)
        .join("")} --target 'box and c1'`,
    ],
    options: (command) => {
      const made = inputs.reduce((made, input) => made.addOption(optionOf(input)), command).addOption(targetOf(action));
      return addLimits(isJob(action) ? made.option("--watch", "tell how the job gets on, until it is over") : made);
    },
    run: async ({ client, options, progress }) => {
      const given = options as unknown as Record<string, unknown>;
      const input = Object.fromEntries(inputs.flatMap(({ name }) => (given[name] === undefined ? [] : [[name, given[name]]])));
      const asked = await askServers(client, requestOf(action, options, input), { progress, ...listeners(options) });
      if (isJob(action) && asked.summary.answered > 0) await goOnWatching(client, asked, options, progress);
      return options.sort === undefined ? asked : { ...asked, answers: sortBy(asked.answers, options.sort) };
    },
    render: ({ answers, summary }, { names, sort, table }) => {
      if (names) return answers.flatMap(({ server, fault }) => (fault === undefined ? [server] : [])).join("\n");
      if (isStream(action) && wasCalledOff(summary, answers)) return "";
      const servers = answers.map(({ server }) => server);
      if (table) return [renderAnswerTable(answers), "", ...renderSummary(summary)].join("\n");
      const shown = sort === undefined ? [] : answers.map((answer) => renderAnswer(answer, servers));
      return [...shown, "", ...renderSummary(summary)].join("\n");
    },
    exitCode: ({ summary, answers }) =>
      summary.failed.length + summary.notAsked.length === 0 || (isStream(action) && wasCalledOff(summary, answers)) ? 0 : 1,
  });
}

/** Answers are shown as they come, unless they are wanted as a whole; parts always are. */
function listeners({ json, names, sort, table }: Options): Pick<AskServersOptions, "onAnswer" | "onPart"> {
  const say = (line: string): void => void process.stdout.write(`${line}\n`);
  return {
    onPart: ({ server, part }, servers) => say(json ? JSON.stringify({ server, part }) : renderPart(server, part, servers)),
    ...(json || names || table || sort !== undefined
      ? {}
      : { onAnswer: (answer, servers) => answer.fault?.code === CALLED_OFF || say(renderAnswer(answer, servers)) }),
  };
}

const CALLED_OFF = "fabric.cancelled";

/** What goes on until Ctrl-C has not failed by it. */
function wasCalledOff({ failed, notAsked }: Asked["summary"], answers: readonly RequestAnswer[]): boolean {
  const ended = answers.filter(({ fault }) => fault?.code === CALLED_OFF);
  return ended.length > 0 && ended.length === failed.length && notAsked.length === 0;
}

async function goOnWatching(client: Client, { request }: Asked, { watch }: Options, progress: (line: string) => void): Promise<void> {
  if (watch) await watchJob(client, request, progress);
  else progress(`it goes on in the background: boxyard jobs ${shortJob(request)} --watch`);
}

/** What changes something is never asked of all servers by forgetting a word. */
function targetOf({ idempotent }: Action): Option {
  const help = "which servers: all, c1b2, box and c1, not c2, memory.total>4G, disk('/srv').free<2G";
  const option = new Option("--target <expression>", help);
  return idempotent ? option.default("all") : option.makeOptionMandatory();
}

function addLimits(command: Command): Command {
  return command
    .option("--broadcast", "servers decide by their own live facts whether they are meant")
    .option("--where <expression>", "show only answers whose fields say so, for example usedPercent>80")
    .option("--sort <field>", "show answers in the order of a field, when all are there")
    .option("--table", "answers as a table, a column for each field, when all are there")
    .option("--names", "names of the servers that did it, one a line, to feed another command")
    .addOption(new Option("--sample <n>", "only so many of them, chosen at random").argParser(wholeNumber))
    .addOption(new Option("--at-once <n>", "at most so many at once").argParser(wholeNumber))
    .addOption(new Option("--batch <n>", "so many, then a pause, then the next").argParser(wholeNumber))
    .addOption(new Option("--pause <seconds>", "the pause between batches").argParser(seconds).default(0))
    .option("--governor <name>", "keep a limit of the whole yard: boxyard governor --help")
    .addOption(new Option("--stop-after <n|n%>", "ask nobody else after so many faults").argParser(failures))
    .addOption(new Option("--timeout <seconds>", "for each server").argParser(seconds))
    .addOption(new Option("--deadline <seconds>", "for all of it").argParser(seconds));
}

function requestOf(action: Action, options: Options, input: Record<string, unknown>): z.input<typeof RequestInput> {
  const { target, broadcast, where, sample, atOnce, batch, pause, stopAfter, timeout, deadline, governor } = options;
  return {
    action: action.name,
    target,
    input,
    ...(broadcast ? { broadcast } : {}),
    ...(where === undefined ? {} : { where }),
    ...(governor === undefined ? {} : { governor }),
    ...(sample === undefined ? {} : { sample }),
    ...(timeout === undefined ? {} : { timeoutMs: Math.round(timeout * 1000) }),
    limits: {
      ...(atOnce === undefined ? {} : { atOnce }),
      ...(batch === undefined ? {} : { batch: { size: batch, pauseMs: Math.round(pause * 1000) } }),
      ...(stopAfter === undefined ? {} : { stopAfter }),
      ...(deadline === undefined ? {} : { deadlineMs: Math.round(deadline * 1000) }),
    },
  };
}

function failures(text: string): Options["stopAfter"] {
  const [, number, percent] = /^(\d{1,6}(?:\.\d+)?)(%?)$/.exec(text) ?? [];
  if (number === undefined) throw new InvalidArgumentError("Give a number of servers or a share, for example 3 or 5%.");
  return percent === "%" ? { percent: Number(number) } : { failures: Number(number) };
}

interface Input {
  readonly name: string;
  readonly isRequired: boolean;
  readonly type: string;
  readonly choices: readonly string[] | undefined;
  readonly preset: unknown;
}

/** An action's inputs, read from its schema. */
function inputsOf({ input }: Action): Input[] {
  const schema = z.toJSONSchema(input, { io: "input" }) as {
    readonly properties?: Record<string, { readonly type?: string; readonly enum?: string[]; readonly default?: unknown }>;
    readonly required?: readonly string[];
  };
  return Object.entries(schema.properties ?? {}).map(([name, property]) => ({
    name,
    isRequired: schema.required?.includes(name) ?? false,
    type: property.type ?? "string",
    choices: property.enum,
    preset: property.default,
  }));
}

function optionOf({ name, isRequired, type, choices, preset }: Input): Option {
  const option = new Option(`--${name} <${type === "string" ? "text" : type}>`);
  if (choices !== undefined) option.choices(choices);
  else if (type === "integer" || type === "number") option.argParser(Number);
  else if (type === "boolean") option.argParser((text) => text === "true");
  if (preset !== undefined) option.default(preset);
  return option.makeOptionMandatory(isRequired);
}

function exampleOf({ name, choices, type }: Input): string {
  return ` --${name} ${choices?.at(-1) ?? (type === "string" ? "…" : "1")}`;
}

/** One answer as one line: the server, how long it took, and its fields or why there is none. */
function renderAnswer({ server, durationMs, output, fault }: RequestAnswer, servers: readonly string[]): string {
  const name = server.padEnd(Math.max(...servers.map(({ length }) => length)));
  const text = fault === undefined ? renderFields(output) : `${fault.message}${fault.next === null ? "" : ` → ${fault.next}`}`;
  return printable(`${name}  ${durationMs.toFixed(1).padStart(7)} ms  ${text.replaceAll("\n", " ")}`);
}

/** A column for each field that any answer has; where there is none, why. */
function renderAnswerTable(answers: readonly RequestAnswer[]): string {
  const fields = new Set(answers.flatMap(({ output }) => Object.keys((output ?? {}) as object)));
  const cellOf = ({ output }: RequestAnswer, field: string): string => {
    const value = (output as Record<string, unknown> | undefined)?.[field];
    return value === undefined ? "" : showValue(field, value);
  };
  return renderTable(answers, [
    { title: "server", show: ({ server }) => server },
    ...[...fields].map((title) => ({ title, show: (answer: RequestAnswer) => cellOf(answer, title) })),
    { title: "", show: ({ fault }) => fault?.message ?? "" },
  ]);
}

function showValue(field: string, value: unknown): string {
  return typeof value === "object" ? JSON.stringify(value) : renderValue(field, value);
}

/** Lines as they are, each with its server; any other part as its fields. */
function renderPart(server: string, part: unknown, servers: readonly string[]): string {
  const lines = (part as { readonly lines?: unknown }).lines;
  const name = server.padEnd(Math.max(...servers.map(({ length }) => length)));
  const shown = Array.isArray(lines) ? lines.map(String) : [renderFields(part)];
  return shown.map((line) => printable(`${name}  ${line}`.replaceAll("\n", " "))).join("\n");
}

function renderFields(output: unknown): string {
  return Object.entries(output as Record<string, unknown>)
    .map(([name, value]) => `${name}=${showValue(name, value)}`)
    .join("  ");
}

/** Sizes as people read them; --json has them exactly. */
function renderValue(name: string, value: unknown): string {
  if (typeof value !== "number") return String(value);
  if (!name.endsWith("Bytes")) return String(Math.round(value * 100) / 100);
  const power = Math.min(4, Math.max(0, Math.floor(Math.log2(Math.max(value, 1)) / 10)));
  return power === 0 ? String(value) : `${(value / 2 ** (10 * power)).toFixed(1)}${" KMGT"[power]}`;
}

function renderSummary({ answered, failed, notAsked, durationMs, sums }: Asked["summary"]): string[] {
  const all = answered + failed.length + notAsked.length;
  const lines = [`${answered} of ${all} servers in ${durationMs.toFixed(0)} ms`];
  if (failed.length > 0) lines.push(`failed: ${failed.join(" ")}`);
  if (notAsked.length > 0) lines.push(`not asked: ${notAsked.join(" ")}`);
  return [...lines, ...Object.entries(sums).map(([field, sum]) => `${field}: ${renderSum(field, sum)}`)];
}

function renderSum(field: string, sum: SummedField): string {
  const show = (value: number): string => renderValue(field, value);
  if (sum.kind === "total") return show(sum.total);
  if (sum.kind === "range") return `${show(sum.least)} – ${show(sum.greatest)}, median ${show(sum.median)}`;
  return sum.counts.map(({ value, count }) => `${value} (${count})`).join(", ");
}

/** By a field of the answers, numbers as numbers; answers without it come last. */
function sortBy(answers: readonly RequestAnswer[], field: string): RequestAnswer[] {
  const value = ({ output }: RequestAnswer): unknown => (output as Record<string, unknown> | undefined)?.[field];
  return [...answers].sort((a, b) => {
    const [one, other] = [value(a), value(b)];
    if (one === undefined || other === undefined) return Number(one === undefined) - Number(other === undefined);
    if (typeof one === "number" && typeof other === "number") return one - other;
    return String(one).localeCompare(String(other), "en", { numeric: true });
  });
}
