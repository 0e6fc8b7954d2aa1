import { grammar, type Node } from "ohm-js";
import { Fault } from "#base/fault.ts";
import type { Operator, Subject, Target } from "#contract/target.ts";
import { checkPattern } from "./pattern.ts";

const MAX_LENGTH = 2_000;

/** The language of targets; docs/fabric.md explains it to people. */
const LANGUAGE = grammar(String.raw`
  Targets {
    Expression = Or
    Or         = And (or And)*
    And        = Not (and Not)*
    Not        = not Not              -- not
               | Primary
    Primary    = "(" Expression ")"   -- parentheses
               | Comparison
               | Question             -- is
               | all                  -- all
               | name                 -- named
    Comparison = Question operator value  -- question
               | name operator value      -- fact
    Question   = name "(" ListOf<value, ","> ")" ("." name)?

    keyword    = (caseInsensitive<"and"> | caseInsensitive<"or"> | caseInsensitive<"not">) ~nameChar
    and        = caseInsensitive<"and"> ~nameChar
    or         = caseInsensitive<"or"> ~nameChar
    not        = caseInsensitive<"not"> ~nameChar
    all        = ("all" | "*") ~nameChar
    operator   = "!=" | "<=" | ">=" | "!~" | "=" | "<" | ">" | "~"
    name  (a name)  = ~keyword nameFirst nameChar*
    nameFirst  = letter | "*" | "_"
    nameChar   = alnum | "_" | "-" | "*" | "."
    value (a value) = quoted | pattern | bare
    quoted     = "'" (~"'" any)* "'" | "\"" (~"\"" any)* "\""
    pattern    = "/" ("\\/" | ~"/" any)+ "/" ~bareChar
    bare       = bareChar+
    bareChar   = alnum | "_" | "-" | "." | ":" | "/" | "%" | "+" | "@" | "*"
  }
`);

const semantics = LANGUAGE.createSemantics();

semantics.addOperation<Target>("target", {
  Or: (first, _or, rest) => join("or", [first, ...rest.children].map(targetOf)),
  And: (first, _and, rest) => join("and", [first, ...rest.children].map(targetOf)),
  Not_not: (_not, of) => ({ kind: "not", of: targetOf(of) }),
  Primary_parentheses: (_open, expression, _close) => targetOf(expression),
  Primary_is: (question) => ({ kind: "is", subject: subjectOf(question) }),
  Primary_all: (_all) => ({ kind: "all" }),
  Primary_named: (name) => ({ kind: "named", name: name.sourceString }),
  Comparison_question: (question, operator, value) => compare(subjectOf(question), operator, value),
  Comparison_fact: (name, operator, value) => compare({ kind: "fact", name: name.sourceString }, operator, value),
});

semantics.addOperation<Subject>("subject", {
  Question: (name, _open, args, _close, _dot, field) => ({
    kind: "question",
    name: name.sourceString,
    args: args.asIteration().children.map(textOf),
    field: field.children[0]?.sourceString ?? null,
  }),
});

semantics.addOperation<string>("text", {
  quoted: (_open, text, _close) => text.sourceString,
  pattern: (_open, text, _close) => text.sourceString.replaceAll("\\/", "/"),
  bare: (text) => text.sourceString,
});

/**
 * Reads a target expression, for example `box and c1`, `not c1b*`, `memory.total>4G or os.release=13`,
 * `disk('/srv').free<2G`; all servers when it is empty. Fault "target.invalid" with a caret under the place that is wrong.
 */
export function parseTarget(expression: string): Target {
  if (expression.length > MAX_LENGTH) throw new Fault("target.invalid", `a target has at most ${MAX_LENGTH} characters`);
  if (expression.trim() === "") return { kind: "all" };
  const match = LANGUAGE.match(expression);
  if (!match.failed()) return semantics(match)["target"]() as Target;
  throw invalid(
    expression,
    match.getRightmostFailurePosition(),
    `expected ${match.getExpectedText().replaceAll(" (case-insensitive)", "")}`,
  );
}

function compare(subject: Subject, operator: Node, value: Node): Target {
  const text = textOf(value);
  const compared: Target = { kind: "compare", subject, operator: operator.sourceString as Operator, value: text };
  if (!compared.operator.endsWith("~")) return compared;
  try {
    checkPattern(text);
  } catch (thrown) {
    throw invalid(value.source.sourceString, value.source.startIdx, (thrown as Error).message);
  }
  return compared;
}

/** With a caret under the fault. */
function invalid(expression: string, at: number, what: string): Fault {
  const line = expression.replaceAll(/[\s]/g, " ");
  return new Fault("target.invalid", `${what}\n  ${line}\n  ${" ".repeat(at)}^`, {
    next: "examples: box and c1 · not c1b2 · memory.total>4G · disk('/srv').free<2G; see docs/fabric.md",
  });
}

function join(kind: "and" | "or", of: readonly Target[]): Target {
  const [first] = of;
  return of.length === 1 && first !== undefined ? first : { kind, of };
}

const targetOf = (node: Node): Target => node["target"]() as Target;
const subjectOf = (node: Node): Subject => node["subject"]() as Subject;
const textOf = (node: Node): string => node["text"]() as string;
