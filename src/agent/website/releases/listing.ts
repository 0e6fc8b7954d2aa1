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

/** The output of `git diff-tree -r -z --no-renames`; submodules are left out. */
export function parseChanges(output: string): TreeChanges {
  const removals: string[] = [];
  const additions: ListedEntry[] = [];
  const fields = records(output);
  for (let at = 0; at + 1 < fields.length; at += 2) {
    const header = fields[at] ?? "";
    const path = checkPath(fields[at + 1] ?? "");
    const [, mode, object, status] = /^:\d{6} (\d{6}) [0-9a-f]{40} ([0-9a-f]{40}) ([AMDT])$/.exec(header) ?? [];
    if (mode === undefined || object === undefined || status === undefined) throw unreadable(header);
    if (status !== "A") removals.push(path);
    if (status !== "D" && mode !== SUBMODULE) additions.push({ mode, object, path });
  }
  return { removals, additions };
}

/** Every file and link of a listing as an addition. */
export function additionsOf(listing: readonly ListedEntry[]): TreeChanges {
  return { removals: [], additions: listing.filter((entry) => entry.mode !== SUBMODULE) };
}

/** Submodules of a commit: their content is in another repository, so that a release lacks it. */
export function submodulesOf(listing: readonly ListedEntry[]): string[] {
  return listing.filter((entry) => entry.mode === SUBMODULE).map((entry) => entry.path);
}

function records(output: string): string[] {
  return output.split("\0").slice(0, -1);
}

/** Git refuses such trees when it is asked to; a tree made by hand may still have come through. */
function checkPath(path: string): string {
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
