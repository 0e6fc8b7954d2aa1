import { Fault } from "#base/fault.ts";
import type { Operator, Subject, Target } from "#contract/target.ts";

export type Value = string | number | boolean;

/** A question as a target asks it. */
export type Asked = Extract<Subject, { kind: "question" }>;

/** A server as a target sees it. */
export interface TargetView {
  readonly name: string;
  /** What else it is called by: roles, cluster, websites. */
  readonly labels: ReadonlySet<string>;
  readonly facts: Readonly<Record<string, Value>>;
  /** Answers a live question; absent where nobody can be asked. */
  readonly ask?: (question: Asked) => Promise<Value | null>;
}

/**
 * Whether a server belongs to the target. A fact or answer that it does not have makes every comparison false, `!=` too.
 * Fault "target.needs-broadcast" when the target asks live questions and `view` cannot.
 */
export async function matches(target: Target, view: TargetView): Promise<boolean> {
  switch (target.kind) {
    case "all":
      return true;
    case "named":
      return view.labels.has(target.name) || isCalled(view.name, target.name);
    case "is":
      return (await readValue(target.subject, view)) === true;
    case "compare": {
      const value = await readValue(target.subject, view);
      return value !== null && (await holds(value, target.operator, target.value));
    }
    case "not":
      return !(await matches(target.of, view));
    case "and":
      for (const one of target.of) if (!(await matches(one, view))) return false;
      return true;
    case "or":
      for (const one of target.of) if (await matches(one, view)) return true;
      return false;
  }
}

/** Every live question of a target. */
export function questionsOf(target: Target): Asked[] {
  return subjectsOf(target).flatMap((subject) => (subject.kind === "question" ? [subject] : []));
}

/** Every fact that a target compares: what a person may have misspelt. */
export function factsOf(target: Target): string[] {
  return subjectsOf(target).flatMap((subject) => (subject.kind === "fact" ? [subject.name] : []));
}

/** Every name of a target, with or without `*`. */
export function namesOf(target: Target): string[] {
  return leavesOf(target).flatMap((leaf) => (leaf.kind === "named" ? [leaf.name] : []));
}

function subjectsOf(target: Target): Subject[] {
  return leavesOf(target).flatMap((leaf) => (leaf.kind === "is" || leaf.kind === "compare" ? [leaf.subject] : []));
}

function leavesOf(target: Target): Target[] {
  if (target.kind === "and" || target.kind === "or") return target.of.flatMap(leavesOf);
  return target.kind === "not" ? leavesOf(target.of) : [target];
}

/** The engine of patterns is loaded where one is used: it would take 8 MB of every agent's memory. */
async function holds(value: Value, operator: Operator, wanted: string): Promise<boolean> {
  if (operator !== "~" && operator !== "!~") return compares(value, operator, wanted);
  const { isLike } = await import("./pattern.ts");
  return isLike(String(value), wanted) === (operator === "~");
}

/** Compares numbers as numbers (1K is 1024) where both are some, everything else as text; a commit also by its beginning, as Git does. */
export function compares(value: Value, operator: Exclude<Operator, "~" | "!~">, wanted: string): boolean {
  const text = String(value);
  if (operator === "=" || operator === "!=") return isSame(text, wanted) === (operator === "=");
  const [a, b] = [numberOf(text), numberOf(wanted)];
  const order = a !== null && b !== null ? Math.sign(a - b) : text.localeCompare(wanted, "en", { numeric: true });
  if (order === 0) return operator.endsWith("=");
  return operator.startsWith(order < 0 ? "<" : ">");
}

const UNITS = { "": 1, "%": 1, K: 2 ** 10, M: 2 ** 20, G: 2 ** 30, T: 2 ** 40 };

function numberOf(text: string): number | null {
  const [, digits, unit = ""] = /^(-?\d+(?:\.\d+)?)([KMGT%]?)$/.exec(text) ?? [];
  return digits === undefined ? null : Number(digits) * UNITS[unit as keyof typeof UNITS];
}

function isSame(text: string, wanted: string): boolean {
  if (text === wanted) return true;
  if (/^[0-9a-f]{40}$/.test(text) && /^[0-9a-f]{4,39}$/.test(wanted)) return text.startsWith(wanted);
  const [a, b] = [numberOf(text), numberOf(wanted)];
  return a !== null && a === b;
}

/** Whether a name is meant by a word in which `*` stands for any letters. */
export function isCalled(name: string, word: string): boolean {
  if (!word.includes("*")) return name === word;
  const [first = "", ...rest] = word.split("*");
  const last = rest.pop() ?? "";
  if (!name.startsWith(first) || !name.endsWith(last) || name.length < first.length + last.length) return false;
  let at = first.length;
  for (const part of rest) {
    const found = name.indexOf(part, at);
    if (found < 0) return false;
    at = found + part.length;
  }
  return at <= name.length - last.length;
}

async function readValue(subject: Subject, view: TargetView): Promise<Value | null> {
  if (subject.kind === "fact") return subject.name === "name" ? view.name : (view.facts[subject.name] ?? null);
  if (view.ask !== undefined) return view.ask(subject);
  throw new Fault("target.needs-broadcast", `${subject.name}(…) can only be asked of servers themselves`, { next: "add --broadcast" });
}
