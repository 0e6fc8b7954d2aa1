import { isAlias, isMap, isScalar, isSeq, LineCounter, type Node, parseDocument, type YAMLMap } from "yaml";

/** A position in the Boxfile; lines and columns count from 1. */
export interface Place {
  readonly line: number;
  readonly column: number;
}

/** Something wrong in a Boxfile: where, what, and what mends it. */
export interface BoxfileProblem extends Place {
  readonly message: string;
  readonly mend: string;
}

/** The problem as one line for people: `Boxfile:7:3: what is wrong → what mends it`. */
export function describeBoxfileProblem({ line, column, message, mend }: BoxfileProblem): string {
  return `Boxfile:${line}:${column}: ${message} → ${mend}`;
}

/** A value of the file with its place; nothing of YAML beyond text, list and mapping is left. */
export type Value =
  | { readonly kind: "text"; readonly text: string; readonly isQuotedOrWord: boolean; readonly place: Place }
  | { readonly kind: "list"; readonly items: readonly Value[]; readonly place: Place }
  | { readonly kind: "mapping"; readonly entries: readonly MappingEntry[]; readonly place: Place }
  | { readonly kind: "nothing"; readonly place: Place };

export interface MappingEntry {
  readonly key: string;
  readonly place: Place;
  readonly value: Value;
}

/** What the text says, or why it is no YAML that a Boxfile may use. */
export interface Syntax {
  readonly value: Value;
  readonly problems: readonly BoxfileProblem[];
}

const SIZE_LIMIT_BYTES = 65_536;
const DEPTH_LIMIT = 8;
const START: Place = { line: 1, column: 1 };
const NOTHING: Value = { kind: "nothing", place: START };

/** Reads hostile bytes as YAML without aliases, anchors and tags. Never throws. */
export function readSyntax(content: Uint8Array | string): Syntax {
  const text = decode(content);
  if (typeof text !== "string") return { value: NOTHING, problems: [text] };
  const tabs = findTabs(text);
  if (tabs.length > 0) return { value: NOTHING, problems: tabs };
  try {
    return readYaml(text);
  } catch {
    // The YAML library recurses, and a file of ten thousand brackets exhausts the stack.
    return { value: NOTHING, problems: [{ ...START, message: "this is nested too deeply", mend: "a Boxfile has at most three levels" }] };
  }
}

function decode(content: Uint8Array | string): string | BoxfileProblem {
  const sizeBytes = typeof content === "string" ? new TextEncoder().encode(content).length : content.length;
  if (sizeBytes > SIZE_LIMIT_BYTES)
    return { ...START, message: `the Boxfile has ${sizeBytes} bytes`, mend: `keep it below ${SIZE_LIMIT_BYTES} bytes` };
  if (typeof content === "string") return content.replace(/^\uFEFF/, "");
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(content);
  } catch {
    return { ...firstBadByte(content), message: "this is not UTF-8", mend: "save the Boxfile with the encoding UTF-8" };
  }
}

/** The line of the first bytes that are not UTF-8: lines are judged alone, because a line feed is never part of a longer character. */
function firstBadByte(content: Uint8Array): Place {
  const decoder = new TextDecoder("utf-8", { fatal: true });
  let line = 1;
  for (let start = 0; start < content.length; line++) {
    const next = content.indexOf(10, start);
    const end = next === -1 ? content.length : next;
    try {
      decoder.decode(content.subarray(start, end));
    } catch {
      return { line, column: 1 };
    }
    start = end + 1;
  }
  return START;
}

function findTabs(text: string): BoxfileProblem[] {
  return text.split(/\r\n|\n|\r/).flatMap((line, index) => {
    const indent = /^ *\t[ \t]*(?=[^ \t])/.exec(line);
    if (indent === null) return [];
    const column = line.indexOf("\t") + 1;
    return [{ line: index + 1, column, message: "a tab in the indentation", mend: "indent with spaces: YAML does not allow tabs there" }];
  });
}

function readYaml(text: string): Syntax {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, uniqueKeys: false, prettyErrors: false, logLevel: "error" });
  const reader = new Reader((offset) => {
    const { line, col } = lines.linePos(offset);
    return { line: Math.max(line, 1), column: Math.max(col, 1) };
  });
  // One slip makes the YAML library report a cascade: the first one is the one to correct.
  const [error] = document.errors;
  if (error !== undefined) reader.refuse(error.pos[0], firstLine(error.message), "correct the YAML at this place");
  const value = reader.problems.length > 0 || document.contents === null ? NOTHING : reader.read(document.contents, 0);
  return { value, problems: reader.problems };
}

class Reader {
  readonly problems: BoxfileProblem[] = [];
  readonly #placeOf: (offset: number) => Place;

  constructor(placeOf: (offset: number) => Place) {
    this.#placeOf = placeOf;
  }

  refuse(offset: number, message: string, mend: string): void {
    this.problems.push({ ...this.#placeOf(offset), message, mend });
  }

  read(node: Node, depth: number): Value {
    const offset = node.range?.[0] ?? 0;
    const place = this.#placeOf(offset);
    if (this.#refusesForm(node, offset, depth)) return { kind: "nothing", place };
    if (isMap(node)) return { kind: "mapping", entries: this.#readEntries(node, depth), place };
    if (isSeq(node)) return { kind: "list", items: node.items.map((item) => this.#readChild(item, place, depth)), place };
    if (!isScalar(node) || node.value === null) return { kind: "nothing", place };
    const isQuotedOrWord = typeof node.value === "string";
    return { kind: "text", text: typeof node.value === "string" ? node.value : (node.source ?? ""), isQuotedOrWord, place };
  }

  #refusesForm(node: Node, offset: number, depth: number): boolean {
    const before = this.problems.length;
    if (isAlias(node) || ("anchor" in node && node.anchor !== undefined))
      this.refuse(offset, "anchors and aliases (& and *) are not allowed here", "write the value out");
    else if (node.tag !== undefined) this.refuse(offset, `the tag ${node.tag} is not allowed here`, "leave the tag out");
    else if (depth > DEPTH_LIMIT) this.refuse(offset, "this is nested too deeply", "a Boxfile has at most three levels");
    return this.problems.length > before;
  }

  #readEntries(map: YAMLMap, depth: number): MappingEntry[] {
    const firstLines = new Map<string, number>();
    return map.items.flatMap((pair) => {
      const key = this.#readChild(pair.key, START, depth);
      if (key.kind !== "text") {
        if (this.problems.length === 0) this.problems.push({ ...key.place, message: "a key must be one word", mend: "write “key: value”" });
        return [];
      }
      const first = firstLines.get(key.text);
      if (first !== undefined) {
        this.problems.push({ ...key.place, message: `“${key.text}” stands here twice, first in line ${first}`, mend: "join the two" });
        return [];
      }
      firstLines.set(key.text, key.place.line);
      return [{ key: key.text, place: key.place, value: this.#readChild(pair.value, key.place, depth) }];
    });
  }

  #readChild(node: unknown, parent: Place, depth: number): Value {
    return node === null || node === undefined ? { kind: "nothing", place: parent } : this.read(node as Node, depth + 1);
  }
}

function firstLine(text: string): string {
  if (text.startsWith("Maximum call stack")) return "this is nested too deeply";
  return (text.split("\n")[0] ?? "").replace(/ at line \d+, column \d+:?$/, "");
}
