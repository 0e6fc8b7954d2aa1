import { Fault } from "#base/fault.ts";

/** One entry of a commit: a file, link or submodule. */
export interface ListedEntry {
  /** As Git writes it: "100644", "100755", "120000" (link), "160000" (submodule). */
  readonly mode: string;
  readonly object: string;
  readonly path: string;
}

/** What turns one release's tree into another's. */
export interface TreeChanges {
  /** Paths to take away first: removed, or about to be written anew. */
  readonly removals: readonly string[];
  readonly additions: readonly ListedEntry[];
  /** Their content is in another repository, so that the release lacks it. */
  readonly submodules: readonly string[];
}

const SUBMODULE = "160000";

/** The output of `git ls-tree -r -z`. */
export function parseListing(output: string): ListedEntry[] {
  return records(output).map((record) => {
    const [, mode, object, path] = /^(\d{6}) \w+ ([0-9a-f]{40})\t(.+)$/s.exec(record) ?? [];
    if (mode === undefined || object === undefined || path === undefined) throw unreadable(record);
    return { mode, object, path: checkPath(path) };
  });
}

/** Every file and link of a listing as an addition. */
export function additionsOf(listing: readonly ListedEntry[]): TreeChanges {
  const submodules = listing.filter(isSubmodule).map(({ path }) => path);
  return { removals: [], additions: listing.filter((entry) => !isSubmodule(entry)), submodules };
}

export function isSubmodule({ mode }: Pick<ListedEntry, "mode">): boolean {
  return mode === SUBMODULE;
}

function records(output: string): string[] {
  return output.split("\0").slice(0, -1);
}

/** Git refuses such trees when it is asked to; a tree made by hand may still have come through. */
export function checkPath(path: string): string {
  const isHostile = path.split("/").some((step) => step === "" || step === "." || step === ".." || step.toLowerCase() === ".git");
  if (isHostile || path.includes("\uFFFD"))
    throw new Fault("release.bad-path", `the commit has the path ${JSON.stringify(path)}, which no release may have`, {
      next: "rename the file (names are UTF-8, without “.”, “..” and “.git”), commit and push again",
    });
  return path;
}

function unreadable(record: string): Fault {
  return new Fault("git.failed", `git listed ${JSON.stringify(record.slice(0, 200))}, which is no entry of a tree`);
}
