import { dirname } from "node:path/posix";
import { Fault } from "#base/fault.ts";
import type { CommitId } from "#contract/names.ts";
import type { TreeEntry } from "#contract/repository-tree.ts";
import type { WorkLimits } from "#contract/work-settings.ts";
import { spaceFor } from "../../website/releases/space.ts";
import { isTooMuch, type Repository } from "./repository.ts";

/** A file, link or submodule of a commit. */
export interface ListedObject extends TreeEntry {
  readonly object: string;
  /** Of its content, in bytes; 0 for a submodule. */
  readonly sizeBytes: number;
}

export interface TreeListing {
  readonly entries: readonly ListedObject[];
  /** Git's own output, for what is lost when it is read as UTF-8. */
  readonly raw: Buffer;
}

const LISTING_LIMIT_BYTES = 64_000_000;
const MEGABYTE = 1_048_576;
const NAMED = 5;

/** All that a commit has, with sizes. Fault "git.too-many-files". */
export async function listCommit(repository: Repository, commit: CommitId): Promise<TreeListing> {
  const raw = await repository.listTree(commit, LISTING_LIMIT_BYTES).catch((thrown: unknown) => {
    if (!isTooMuch(thrown)) throw thrown;
    throw new Fault("git.too-many-files", "this commit has too many files", {
      next: "keep generated and uploaded files out of the repository",
    });
  });
  return { entries: parseListing(raw), raw };
}

/** The entries of `ls-tree -r -l -z`: "<mode> <type> <object> <size>\t<path>", the size padded with spaces, or "-". */
function parseListing(raw: Buffer): ListedObject[] {
  return raw
    .toString("utf8")
    .split("\0")
    .filter((line) => line !== "")
    .map((line) => {
      const tab = line.indexOf("\t");
      const [mode = "", , object = "", size = ""] = line.slice(0, tab).split(/ +/);
      return { mode, object, sizeBytes: size === "-" ? 0 : Number(size), path: line.slice(tab + 1) };
    });
}

/** Why a release with these files would be too large for a disk, with the largest of them; nothing when it is not. */
export function refuseOversize(entries: readonly ListedObject[], { releaseMegabytes }: Pick<WorkLimits, "releaseMegabytes">): string[] {
  const folders = new Set(entries.map(({ path }) => dirname(path)));
  const totalBytes = spaceFor(
    entries.map(({ sizeBytes }) => sizeBytes),
    folders.size,
  );
  if (totalBytes <= releaseMegabytes * MEGABYTE) return [];
  const largest = entries.toSorted((a, b) => b.sizeBytes - a.sizeBytes).slice(0, NAMED);
  return [
    `its ${entries.length} files take ${megabytes(totalBytes)} on a disk, and a release may have ${releaseMegabytes} MB → keep uploaded and generated files out of the repository, or ask an operator for more; the largest are:`,
    ...largest.map(({ path, sizeBytes }) => `  ${megabytes(sizeBytes).padStart(10)}  ${plain(path)}`),
  ];
}

/** A path as it can be shown: short, and without what a terminal would obey. */
export function plain(text: string): string {
  const short = text.length > 200 ? `${text.slice(0, 200)}…` : text;
  return short.replace(/\p{C}/gu, "\uFFFD");
}

function megabytes(bytes: number): string {
  return `${(bytes / MEGABYTE).toFixed(1)} MB`;
}
