import { z } from "zod";

/** Schemas whose values never stand in a log, an event or the audit. */
const secrets = z.registry<{ readonly isSecret: true }>();

/** Declares that what this schema describes is a secret. */
export function secret<S extends z.ZodType>(schema: S): S {
  secrets.add(schema, { isSecret: true });
  return schema;
}

/** The value with every secret of its schema replaced by "***": by type, wherever it stands, not by how it looks. */
export function masked(schema: z.ZodType, value: unknown): unknown {
  if (secrets.has(schema)) return "***";
  if (schema instanceof z.ZodOptional || schema instanceof z.ZodNullable || schema instanceof z.ZodDefault)
    return value === undefined || value === null ? value : masked(schema.unwrap() as z.ZodType, value);
  if (schema instanceof z.ZodObject && isRecord(value))
    return Object.fromEntries(Object.entries(value).map(([name, one]) => [name, masked(schema.shape[name] ?? z.unknown(), one)]));
  if (schema instanceof z.ZodArray && Array.isArray(value)) return value.map((one) => masked(schema.element as z.ZodType, one));
  if (schema instanceof z.ZodRecord && isRecord(value))
    return Object.fromEntries(Object.entries(value).map(([name, one]) => [name, masked(schema.valueType as z.ZodType, one)]));
  return value;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
