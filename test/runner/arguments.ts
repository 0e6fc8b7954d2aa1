import { SLICES, type Slice, type Turn } from "./slices.ts";

/** What every run has, cheap ones first. */
export const GATE = ["lint", "types", "imports", "unused", "unit", "yard"] as const;
export type StageName = (typeof GATE)[number] | Slice;

/** What a command line asks for. */
export interface Wanted {
  readonly stages: readonly StageName[];
  /** Only these files, of the one stage that is named. */
  readonly files: readonly string[];
  /** By which tests with random input can be repeated. */
  readonly seed: number;
  /** The slice that CI has chosen. */
  readonly turn: Turn | null;
}

/** Reads the command line of bin/test; throws with the reason when it makes no sense. */
export function parseArguments(args: readonly string[], turn: Turn): Wanted {
  const { rest, seed = turn.seed } = takeSeed(args);
  const [first, ...more] = rest;
  const everything = { files: [], seed, turn: null };
  if (first === undefined || first === "gate") return { ...everything, stages: GATE };
  if (first === "--all") return { ...everything, stages: [...GATE, ...SLICES] };
  if (first === "--ci") return { ...everything, stages: [...GATE, turn.slice], turn };
  const [name, ...files] = first === "--slice" ? more : [first.replace(/^--/, ""), ...more];
  const stage = [...GATE, ...SLICES].find((one) => one === name);
  if (stage === undefined || (first === "--slice" && !isSlice(stage))) throw new Error(unknown(name ?? "", first === "--slice"));
  return { stages: [stage], files, seed, turn: null };
}

/** Whether it needs a yard. */
export function isOnYard(stage: StageName): boolean {
  return stage === "yard" || isSlice(stage);
}

function isSlice(stage: StageName): stage is Slice {
  return SLICES.some((one) => one === stage);
}

function takeSeed(args: readonly string[]): { readonly rest: readonly string[]; readonly seed?: number } {
  const at = args.indexOf("--seed");
  if (at < 0) return { rest: args };
  const seed = Number(args[at + 1] ?? "");
  if (args[at + 1] === undefined || !Number.isSafeInteger(seed) || seed < 0) throw new Error("--seed takes a whole number");
  return { rest: args.toSpliced(at, 2), seed };
}

function unknown(name: string, isSlice: boolean): string {
  const names = isSlice ? SLICES : [...GATE, ...SLICES];
  return `no ${isSlice ? "slice" : "stage"} “${name}”; there are: ${names.join(", ")}${isSlice ? "" : "; --all, --ci, --slice NAME"}`;
}
