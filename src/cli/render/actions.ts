import { z } from "zod";
import { type Action, isJob, isStream } from "#contract/action.ts";

/** The part of JSON Schema that actions make use of. */
interface Schema {
  readonly type?: string | readonly string[];
  readonly enum?: readonly unknown[];
  readonly const?: unknown;
  readonly anyOf?: readonly Schema[];
  readonly items?: Schema;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly additionalProperties?: Schema | boolean;
  readonly required?: readonly string[];
  readonly default?: unknown;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly maxLength?: number;
  readonly pattern?: string;
}

/** Actions as pages of documentation, from nothing but their declarations. */
export function renderActionPages(actions: readonly Action[]): string {
  const head = [
    "# What servers can be asked for",
    "Made from the declarations in `src/contract/actions/` by `boxyard actions --markdown`; [fabric.md](fabric.md) tells how to ask.",
  ];
  return `${[...head, ...actions.map(renderPage)].join("\n\n")}\n`;
}

function renderPage(action: Action): string {
  const { name, summary, input, output, faults, sums } = action;
  const answers = isJob(action)
    ? [`Answers with a job's id at once. The job may take ${duration(action.limitMs)}, and comes to:`, fieldTable(action.result, "output")]
    : [
        ...(isStream(action) ? ["Answers in parts:", fieldTable(action.part, "output"), "and ends with:"] : ["Answers:"]),
        fieldTable(output, "output"),
      ];
  const sections = [
    `## ${name}`,
    `${summary}.`,
    [`boxyard do ${name}`, ...inputsOf(input).map(usage), action.idempotent ? "[--target EXPRESSION]" : "--target EXPRESSION"]
      .join(" ")
      .replace(/^.*$/, "    $&"),
    ...(inputsOf(input).length === 0 ? [] : ["Takes:", fieldTable(input, "input")]),
    ...answers,
    [
      isJob(action) || isStream(action) ? [] : [`A server has ${duration(action.timeoutMs)}.`],
      action.idempotent ? ["Asking twice does no harm."] : ["A target must be given, be it `all`."],
      faults.length === 0 ? [] : [`Own faults: ${faults.map((code) => `\`${code}\``).join(", ")}.`],
      sums === undefined
        ? []
        : [
            `Summed up: ${Object.entries(sums)
              .map(([field, sum]) => `${field} (${sum})`)
              .join(", ")}.`,
          ],
    ]
      .flat()
      .join(" "),
  ];
  return sections.join("\n\n");
}

function usage([name, { default: preset }, isRequired]: Field): string {
  const given = `--${name} …`;
  return isRequired && preset === undefined ? given : `[${given}]`;
}

type Field = readonly [name: string, schema: Schema, isRequired: boolean];

function inputsOf(schema: z.ZodType): Field[] {
  return fieldsOf(z.toJSONSchema(schema, { io: "input" }) as Schema);
}

function fieldsOf({ properties = {}, required = [] }: Schema): Field[] {
  return Object.entries(properties).map(([name, schema]) => [name, schema, required.includes(name)]);
}

function fieldTable(schema: z.ZodType, io: "input" | "output"): string {
  const whole = z.toJSONSchema(schema, { io }) as Schema;
  const fields = fieldsOf(whole);
  if (fields.length === 0) return `- ${typeOf(whole)}`;
  return fields
    .map(
      ([name, field]) =>
        `- \`${name}\`: ${typeOf(field)}${field.default === undefined ? "" : `, ${JSON.stringify(field.default)} by default`}`,
    )
    .join("\n");
}

function typeOf(schema: Schema): string {
  if (schema.enum !== undefined) return `one of ${schema.enum.map((one) => `\`${String(one)}\``).join(", ")}`;
  if (schema.const !== undefined) return `\`${JSON.stringify(schema.const)}\``;
  if (schema.anyOf !== undefined) return schema.anyOf.map(typeOf).join(" or ");
  if (Array.isArray(schema.type)) return schema.type.map((type: string) => typeOf({ ...schema, type })).join(" or ");
  if (schema.type === "array") return `list of ${typeOf(schema.items ?? {})}`;
  if (schema.type === "object") return objectType(schema);
  if (schema.type === "null") return "nothing";
  if (schema.type === "boolean") return "true or false";
  if (schema.type === "string") return schema.maxLength === undefined ? "text" : `text of at most ${schema.maxLength} characters`;
  return `${schema.type === "integer" ? "whole number" : "number"}${range(schema)}`;
}

function objectType(schema: Schema): string {
  const fields = fieldsOf(schema);
  if (fields.length > 0) return `{ ${fields.map(([name, field]) => `${name}: ${typeOf(field)}`).join("; ")} }`;
  return typeof schema.additionalProperties === "object" ? `values by name, each ${typeOf(schema.additionalProperties)}` : "nothing more";
}

/** JSON Schema gives whole numbers JavaScript's own bounds where there are none. */
function range({ minimum, maximum }: Schema): string {
  const least = minimum === undefined || minimum <= Number.MIN_SAFE_INTEGER ? null : minimum;
  const most = maximum === undefined || maximum >= Number.MAX_SAFE_INTEGER ? null : maximum;
  if (least !== null && most !== null) return ` from ${least} to ${most}`;
  if (least !== null) return ` of at least ${least}`;
  return most === null ? "" : ` of at most ${most}`;
}

function duration(ms: number): string {
  const seconds = ms / 1000;
  if (seconds >= 3_600) return `${seconds / 3_600} h`;
  return `${seconds} s`;
}
