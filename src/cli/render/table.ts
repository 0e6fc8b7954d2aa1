import { styleText } from "node:util";
import { printable } from "./printable.ts";

/** One column: its heading and what a row shows in it. */
export interface Column<T> {
  readonly title: string;
  readonly show: (row: T) => string;
}

/** Rows as aligned text, two spaces between columns; "(none)" when there are no rows. */
export function renderTable<T>(rows: readonly T[], columns: readonly Column<T>[]): string {
  if (rows.length === 0) return "(none)";
  const cells = rows.map((row) => columns.map(({ show }) => cellOf(show(row))));
  const widths = columns.map(({ title }, index) => Math.max(title.length, ...cells.map((row) => row[index]?.length ?? 0)));
  const line = (texts: readonly string[]): string =>
    texts
      .map((text, index) => text.padEnd(widths[index] ?? 0))
      .join("  ")
      .trimEnd();
  return [dim(line(columns.map(({ title }) => title.toUpperCase()))), ...cells.map(line)].join("\n");
}

/** Facts of one thing as aligned lines; a value of several lines goes on below its first. */
export function renderFacts(facts: Readonly<Record<string, string>>): string {
  const width = Math.max(...Object.keys(facts).map((name) => name.length));
  const indent = `\n${" ".repeat(width + 2)}`;
  return Object.entries(facts)
    .map(([name, value]) => `${dim(name.padEnd(width))}  ${printable(value).replaceAll("\n", indent)}`)
    .join("\n");
}

/** A cell is one line: what follows the first is left to `show` and --json. */
function cellOf(text: string): string {
  return printable(text.split("\n")[0] ?? "").replaceAll("\t", " ");
}

function dim(text: string): string {
  return styleText("dim", text, { stream: process.stdout });
}
