import { execa } from "execa";

/** What takes too long for every run: CI runs the gate and one of these, `bin/test --all` all of them, in this order. */
export const SLICES = ["faults", "requests", "attacks", "applications", "operation", "brokers"] as const;
export type Slice = (typeof SLICES)[number];

/** The slice of a commit, its seed, and by what it was chosen. */
export interface Turn {
  readonly slice: Slice;
  readonly seed: number;
  readonly reason: string;
}

/** What git says of the checkout; null where there is no history at all. */
export interface History {
  readonly isShallow: boolean;
  readonly commits: number;
  readonly commit: string;
}

/**
 * Whose turn it is: the number of commits modulo the number of slices, so that the same commit always gets the same slice, and
 * as many commits in a row get all of them. A shallow clone cannot count, and goes by its commit's id.
 */
export function turnOf(history: History | null): Turn {
  if (history === null) return turn(0, "no git history here: the first slice");
  if (history.isShallow) {
    const short = history.commit.slice(0, 8);
    return turn(Number.parseInt(short, 16), `a shallow clone cannot count commits: by the id of commit ${short}`);
  }
  return turn(history.commits, `${history.commits} commits`);
}

function turn(seed: number, reason: string): Turn {
  return { slice: SLICES[seed % SLICES.length] as Slice, seed, reason };
}

/** Reads the history of the checkout in which the tests run. */
export async function readHistory(directory: string): Promise<History | null> {
  const git = async (...args: string[]): Promise<string> => (await execa("git", ["-C", directory, ...args], { stdin: "ignore" })).stdout;
  try {
    const [isShallow, commits, commit] = await Promise.all([
      git("rev-parse", "--is-shallow-repository"),
      git("rev-list", "--count", "HEAD"),
      git("rev-parse", "HEAD"),
    ]);
    return { isShallow: isShallow === "true", commits: Number(commits), commit };
  } catch {
    return null;
  }
}
