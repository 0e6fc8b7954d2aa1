import { RE2JS } from "re2js";
import { Fault } from "#base/fault.ts";

/** Of the machine that a pattern becomes: each character of the text costs at most so many steps. */
const MOST_STEPS = 1_000;
/** A longer text is not searched: nothing that people look for stands in one. */
const MOST_TEXT = 10_000;
const MOST_KEPT = 100;

const compiled = new Map<string, RE2JS>();

/**
 * Whether a text has a part that is like the pattern; null when it is too long to be searched. Patterns are RE2's: whatever
 * people and servers write, an answer takes time in proportion to the text, and nobody waits for another's pattern. Fault
 * "target.invalid" for what is none.
 */
export function isLike(text: string, pattern: string): boolean | null {
  const made = compile(pattern);
  return text.length > MOST_TEXT ? null : made.test(text);
}

/** Fault "target.invalid" with the reason when this is no pattern, or one that is too large. */
export function checkPattern(pattern: string): void {
  compile(pattern);
}

function compile(pattern: string): RE2JS {
  const known = compiled.get(pattern);
  if (known !== undefined) return known;
  const made = read(pattern);
  if (made.programSize() > MOST_STEPS) throw new Fault("target.invalid", "this regular expression is too large: repeat less in it");
  for (const oldest of compiled.keys()) {
    if (compiled.size < MOST_KEPT) break;
    compiled.delete(oldest);
  }
  compiled.set(pattern, made);
  return made;
}

function read(pattern: string): RE2JS {
  try {
    return RE2JS.compile(pattern);
  } catch (cause) {
    const why = (cause as Error).message.replace(/^error parsing regexp: /, "");
    throw new Fault("target.invalid", `no regular expression: ${why}`, { cause });
  }
}
