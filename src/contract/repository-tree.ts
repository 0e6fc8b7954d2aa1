/** What stands at a path of a commit. */
export type EntryKind = "file" | "link" | "folder" | "submodule";

/** One line of `git ls-tree -r`: the mode as Git writes it ("100644", "120000", …) and the path from the repository root. */
export interface TreeEntry {
  readonly mode: string;
  readonly path: string;
}

/** The paths of a commit. */
export interface RepositoryTree {
  /** What stands at the path, null when nothing does; "" is the repository root. */
  kindOf(path: string): EntryKind | null;
}

/** The tree of a full listing (`git ls-tree -r`); folders come from the paths of what lies in them. */
export function treeOf(entries: Iterable<TreeEntry>): RepositoryTree {
  const kinds = new Map<string, EntryKind>([["", "folder"]]);
  for (const { mode, path } of entries) {
    kinds.set(path, kindOfMode(mode));
    for (let folder = parentOf(path); !kinds.has(folder); folder = parentOf(folder)) kinds.set(folder, "folder");
  }
  return { kindOf: (path) => kinds.get(path) ?? null };
}

const DOCROOTS = ["docroot", "web", "public"] as const;
const FRONT_PAGES = ["index.php", "index.html"] as const;

/**
 * The folder that the web server serves, from the repository root ("" is the root itself): the first of docroot, web and
 * public with a front page; else the root when it has one; else the first of them that is there; else the root.
 */
export function detectDocroot(tree: RepositoryTree): string {
  const folders = DOCROOTS.filter((folder) => tree.kindOf(folder) === "folder");
  const served = [...folders, ""].find((folder) => FRONT_PAGES.some((page) => isFile(tree, folder === "" ? page : `${folder}/${page}`)));
  return served ?? folders[0] ?? "";
}

/** The folder that a path lies in; "" for one at the root. */
export function parentOf(path: string): string {
  return path.slice(0, Math.max(path.lastIndexOf("/"), 0));
}

function isFile(tree: RepositoryTree, path: string): boolean {
  const kind = tree.kindOf(path);
  return kind === "file" || kind === "link";
}

/** What an entry with this mode is. */
export function kindOfMode(mode: string): EntryKind {
  if (mode.startsWith("12")) return "link";
  if (mode.startsWith("16")) return "submodule";
  return mode.startsWith("04") ? "folder" : "file";
}
