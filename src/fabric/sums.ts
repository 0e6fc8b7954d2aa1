import type { Sum } from "#contract/action.ts";

/** What many servers' answers come to, for one field. */
export type Summed =
  | { readonly kind: "distribution"; readonly counts: readonly { readonly value: string; readonly count: number }[] }
  | { readonly kind: "range"; readonly least: number; readonly median: number; readonly greatest: number }
  | { readonly kind: "total"; readonly total: number };

/** Sums up answers as their action declares it; a field that no answer has, or not as a number where one is needed, is left out. */
export function sumUp(declared: Readonly<Record<string, Sum>>, outputs: readonly unknown[]): Record<string, Summed> {
  const entries = Object.entries(declared).flatMap(([field, kind]) => {
    const values = outputs.map((output) => fieldOf(output, field)).filter((value) => value !== undefined);
    const summed = kind === "distribution" ? distribution(values) : numbers(kind, values);
    return summed === null ? [] : [[field, summed] as const];
  });
  return Object.fromEntries(entries);
}

/** A field of an answer; dots lead into what is nested. */
export function fieldOf(output: unknown, field: string): unknown {
  const whole = (output as Record<string, unknown> | null)?.[field];
  if (whole !== undefined || !field.includes(".")) return whole;
  const [first = "", ...rest] = field.split(".");
  return fieldOf((output as Record<string, unknown> | null)?.[first], rest.join("."));
}

/** How often each value came, the most frequent first. */
function distribution(values: readonly unknown[]): Summed | null {
  if (values.length === 0) return null;
  const counts = new Map<string, number>();
  for (const value of values) {
    const text = typeof value === "string" ? value : JSON.stringify(value);
    counts.set(text, (counts.get(text) ?? 0) + 1);
  }
  const sorted = [...counts].sort(([a, many], [b, more]) => more - many || a.localeCompare(b, "en", { numeric: true }));
  return { kind: "distribution", counts: sorted.map(([value, count]) => ({ value, count })) };
}

function numbers(kind: "range" | "total", values: readonly unknown[]): Summed | null {
  const sorted = values.filter((value) => typeof value === "number").sort((a, b) => a - b);
  const [least, greatest, median] = [sorted[0], sorted.at(-1), sorted[Math.floor((sorted.length - 1) / 2)]];
  if (least === undefined || greatest === undefined || median === undefined) return null;
  return kind === "range" ? { kind, least, median, greatest } : { kind, total: sorted.reduce((sum, value) => sum + value, 0) };
}
