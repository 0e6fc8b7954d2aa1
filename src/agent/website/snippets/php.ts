/** A value as PHP source; strings in single quotes, in which only \ and ' mean something. */
export function phpValue(value: PhpValue): string {
  if (typeof value === "string") return `'${value.replaceAll("\\", "\\\\").replaceAll("'", "\\'")}'`;
  if (typeof value === "number" || typeof value === "boolean") return String(value);
  if (value instanceof PhpCode) return value.code;
  if (isList(value)) return `[${value.map(phpValue).join(", ")}]`;
  return `[${Object.entries(value)
    .map(([key, one]) => `${phpValue(key)} => ${phpValue(one)}`)
    .join(", ")}]`;
}

/** What can be written into a snippet. */
export type PhpValue = string | number | boolean | PhpCode | readonly PhpValue[] | { readonly [key: string]: PhpValue };

/** PHP source that stands as it is: constants and expressions of our own. */
export class PhpCode {
  readonly code: string;

  constructor(code: string) {
    this.code = code;
  }
}

/** A whole file; its first comment says who wrote it. */
export function phpFile(about: string, lines: readonly string[]): string {
  return ["<?php", `// ${about}`, "// Written by Boxyard; include it, do not copy it: it changes with the website.", "", ...lines, ""].join(
    "\n",
  );
}

function isList(value: PhpValue): value is readonly PhpValue[] {
  return Array.isArray(value);
}
