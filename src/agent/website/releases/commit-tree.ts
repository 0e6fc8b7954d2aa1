import { Fault } from "#base/fault.ts";
import { type EntryKind, kindOfMode, parentOf, type RepositoryTree } from "#contract/repository-tree.ts";
import { checkPath, isSubmodule, type TreeChanges } from "./listing.ts";
import type { ObjectReader } from "./object-reader.ts";

interface Entry {
  readonly mode: string;
  readonly object: string;
}

/** What lies in one folder, by name. */
type Folder = ReadonlyMap<string, Entry>;

const NOTHING: Folder = new Map();
const HASH_BYTES = 20;

/**
 * The tree of a commit, of which only those folders are read that are asked for: what a release costs is to follow what
 * has changed, not what the site has.
 */
export class CommitTree {
  readonly #objects: ObjectReader;
  readonly #root: Entry;
  readonly #folders = new Map<string, Folder>();

  constructor(objects: ObjectReader, commit: string) {
    this.#objects = objects;
    this.#root = { mode: "040000", object: `${commit}^{tree}` };
  }

  /** What stands at a path; null when nothing does. */
  async find(path: string): Promise<Entry | null> {
    if (path === "") return this.#root;
    const folder = await this.find(parentOf(path));
    return (await this.#contentOf(folder)).get(path.slice(path.lastIndexOf("/") + 1)) ?? null;
  }

  /**
   * What `read` makes of the tree. It is done again, with more of the tree each time, until all paths are there that it asks
   * for: it must give the same for the same tree, and must not throw because nothing stands at a path.
   */
  async consult<T>(read: (tree: RepositoryTree) => T): Promise<T> {
    const known = new Map<string, EntryKind | null>();
    for (;;) {
      const unknown = new Set<string>();
      const kindOf = (path: string): EntryKind | null => {
        if (!known.has(path)) unknown.add(path);
        return known.get(path) ?? null;
      };
      const result = read({ kindOf });
      if (unknown.size === 0) return result;
      for (const path of unknown) {
        const entry = await this.find(path);
        known.set(path, entry && kindOfMode(entry.mode));
      }
    }
  }

  /** What turns the other tree into this one; folders that both have are not looked into. */
  async changesSince(other: CommitTree): Promise<TreeChanges> {
    const changes = { removals: [], additions: [], submodules: [] };
    await this.#compare("", [other.#root, this.#root], changes);
    return changes;
  }

  async #compare(path: string, [before, after]: readonly [Entry | null, Entry | null], changes: Changes): Promise<void> {
    if (before?.mode === after?.mode && before?.object === after?.object) return;
    if (before !== null && !isFolder(before)) changes.removals.push(path);
    if (after !== null && isSubmodule(after)) changes.submodules.push(path);
    else if (after !== null && !isFolder(after)) changes.additions.push({ ...after, path: checkPath(path) });
    const [old, fresh] = [await this.#contentOf(before), await this.#contentOf(after)];
    for (const name of new Set([...old.keys(), ...fresh.keys()]))
      await this.#compare(path === "" ? name : `${path}/${name}`, [old.get(name) ?? null, fresh.get(name) ?? null], changes);
  }

  async #contentOf(entry: Entry | null): Promise<Folder> {
    if (entry === null || !isFolder(entry)) return NOTHING;
    const known = this.#folders.get(entry.object) ?? parseTree(await this.#objects.readTree(entry.object));
    this.#folders.set(entry.object, known);
    return known;
  }
}

type Changes = { readonly [K in keyof TreeChanges]: TreeChanges[K][number][] };

function isFolder({ mode }: Entry): boolean {
  return kindOfMode(mode) === "folder";
}

/** A tree as Git stores it: "<mode> <name>\0<20 bytes>", again and again (gitformat-pack). */
function parseTree(raw: Buffer): Folder {
  const folder = new Map<string, Entry>();
  for (let at = 0; at < raw.length; ) {
    const [space, end] = [raw.indexOf(" ", at), raw.indexOf(0, at)];
    if (space === -1 || end < space || end + HASH_BYTES >= raw.length)
      throw new Fault("git.bad-tree", "a folder of the commit is nothing that Git could have written");
    const mode = raw.toString("latin1", at, space).padStart(6, "0");
    folder.set(raw.toString("utf8", space + 1, end), { mode, object: raw.toString("hex", end + 1, end + 1 + HASH_BYTES) });
    at = end + 1 + HASH_BYTES;
  }
  return folder;
}
