import { styleText } from "node:util";

/** One column: its heading and what a row shows in it. */
export interface Column<T> {
  readonly title: string;
  readonly show: (row: T) => string;
}

/** Rows as aligned text, two spaces between columns; "(none)" when there are no rows. */
export function renderTable<T>(rows: readonly T[], columns: readonly Column<T>[]): string {
  if (rows.length === 0) return "(none)";
  const cells = rows.map((row) => columns.map(({ show }) => show(row)));
  const widths = columns.map(({ title }, index) => Math.max(title.length, ...cells.map((row) => row[index]?.length ?? 0)));
  const line = (texts: readonly string[]): string =>
    texts
      .map((text, index) => text.padEnd(widths[index] ?? 0))
      .join("  ")
      .trimEnd();
  return [styleText("dim", line(columns.map(({ title }) => title.toUpperCase())), { stream: process.stdout }), ...cells.map(line)].join(
    "\n",
  );
}

/** Facts of one thing as aligned lines. */
export function renderFacts(facts: Readonly<Record<string, string>>): string {
  const width = Math.max(...Object.keys(facts).map((name) => name.length));
  return Object.entries(facts)
    .map(([name, value]) => `${styleText("dim", name.padEnd(width), { stream: process.stdout })}  ${value}`)
    .join("\n");
}
