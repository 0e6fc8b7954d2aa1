import { z } from "zod";

type Schema = z.core.$ZodType;

/** Schemas whose values never stand in a log, an event or the audit. */
const secrets = new WeakSet<Schema>();

const MASK = "***";

/** Declares that what this schema describes is a secret; schemas that are made from it, as by `.min(8)`, are secret, too. */
export function secret<S extends Schema>(schema: S): S {
  secrets.add(schema);
  return schema;
}

/**
 * The value, as the schema has given it, with every secret replaced by "***": by type, wherever it stands, not by how it
 * looks. Where it cannot be told which part of a value is the secret, all of it is masked.
 */
export function masked(schema: Schema, value: unknown): unknown {
  if (value === undefined || value === null || !holdsSecret(schema)) return value;
  return isSecret(schema) ? MASK : maskedParts(schema, value);
}

/** Whether a value of this schema may have a secret anywhere in it. Throws for a kind of schema that it does not know. */
export function holdsSecret(schema: Schema, seen: ReadonlySet<Schema> = new Set()): boolean {
  if (isSecret(schema)) return true;
  if (seen.has(schema)) return false;
  const within = new Set([...seen, schema]);
  return partsOf(schema).some((part) => holdsSecret(part, within));
}

function isSecret(schema: Schema): boolean {
  for (let one: Schema | undefined = schema; one !== undefined; one = one._zod.parent) if (secrets.has(one)) return true;
  return false;
}

type Def = z.core.$ZodTypes["_zod"]["def"];
const defOf = (schema: Schema): Def => schema._zod.def as Def;

/** Every schema that a schema is made of. */
function partsOf(schema: Schema): readonly Schema[] {
  const def = defOf(schema);
  switch (def.type) {
    case "object":
      return [...Object.values(def.shape), ...(def.catchall === undefined ? [] : [def.catchall])];
    case "record":
    case "map":
      return [def.keyType, def.valueType];
    case "array":
      return [def.element];
    case "set":
      return [def.valueType];
    case "tuple":
      return [...def.items, ...(def.rest === null ? [] : [def.rest])];
    case "union":
      return def.options;
    case "intersection":
      return [def.left, def.right];
    case "pipe":
      return [def.in, def.out];
    case "lazy":
      return [def.getter()];
    case "promise":
      return [def.innerType];
    default:
      return wrapped(def) ?? leaf(def.type);
  }
}

/** The one schema that another only adds to, as `.optional()` does, so that the value of one is a value of the other; null for other kinds. */
function wrapped(def: Def): readonly [Schema] | null {
  switch (def.type) {
    case "optional":
    case "nullable":
    case "nonoptional":
    case "default":
    case "prefault":
    case "catch":
    case "readonly":
      return [def.innerType];
    default:
      return null;
  }
}

const LEAVES: ReadonlySet<string> = new Set([
  ...(["string", "number", "int", "boolean", "bigint", "symbol", "null", "undefined", "void", "never", "any", "unknown"] as const),
  ...(["date", "file", "enum", "literal", "template_literal", "nan", "success", "transform", "function", "custom"] as const),
]);

function leaf(type: string): readonly Schema[] {
  if (LEAVES.has(type)) return [];
  throw new Error(`it is not known how secrets stand in a schema of kind ${type}`);
}

/** Of a schema that is no secret itself, and has one in it. */
function maskedParts(schema: Schema, value: unknown): unknown {
  const def = defOf(schema);
  switch (def.type) {
    case "object":
      return ofFields(value, (name) => def.shape[name] ?? def.catchall);
    case "record":
      return holdsSecret(def.keyType) ? MASK : ofFields(value, () => def.valueType);
    case "array":
      return ofItems(value, () => def.element);
    case "tuple":
      return ofItems(value, (index) => def.items[index] ?? def.rest ?? undefined);
    case "union":
      return ofOptions(def.options, value);
    case "intersection":
      return masked(def.right, masked(def.left, value));
    case "pipe":
      // What was made of a secret is one.
      return holdsSecret(def.in) ? MASK : masked(def.out, value);
    case "lazy":
      return masked(def.getter(), value);
    default:
      return ofWrapped(def, value);
  }
}

function ofWrapped(def: Def, value: unknown): unknown {
  const [inner] = wrapped(def) ?? [];
  return inner === undefined ? MASK : masked(inner, value);
}

function ofFields(value: unknown, schemaOf: (name: string) => Schema | undefined): unknown {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return MASK;
  return Object.fromEntries(Object.entries(value).map(([name, one]) => [name, maskedBy(schemaOf(name), one)]));
}

function ofItems(value: unknown, schemaOf: (index: number) => Schema | undefined): unknown {
  return Array.isArray(value) ? value.map((one, index) => maskedBy(schemaOf(index), one)) : MASK;
}

function maskedBy(schema: Schema | undefined, value: unknown): unknown {
  return schema === undefined ? value : masked(schema, value);
}

/** By every option that it may be of; what is of none has been changed since, and is masked as a whole. */
function ofOptions(options: readonly Schema[], value: unknown): unknown {
  const possible = options.filter((option) => z.safeParse(option, value).success);
  return possible.length === 0 ? MASK : possible.reduce((sofar: unknown, option) => masked(option, sofar), value);
}
