import { z } from "zod";
import { checkAgainstTree, checkClashes } from "./boxfile-checks.ts";
import { HoldSeconds, type LongestSeconds } from "./boxfile-deploy.ts";
import { parseBoxfile } from "./boxfile-parse.ts";
import type { BoxfileProblem } from "./boxfile-syntax.ts";
import { detectDocroot, type RepositoryTree } from "./repository-tree.ts";
import { LARGEST_LIMITS } from "./work-settings.ts";

/** A file that is a link, chosen by the website's environment label. All paths are normalised and start at the repository root. */
interface EnvSpecificFile {
  /** Where the link stands. */
  readonly path: string;
  /** By environment label: the file that the link points at. */
  readonly targets: Readonly<Record<string, string>>;
}

/** What a website's Boxfile declares. All paths are normalised and start at the repository root. */
export interface Boxfile {
  readonly version: "1.0" | "2.0" | "3";
  /** Folders that are writable and shared by all servers of the website. */
  readonly sharedFolders: readonly string[];
  readonly envSpecificFiles: readonly EnvSpecificFile[];
  /** The folder that the web server serves; "" is the repository root. */
  readonly docroot: string;
  /** Commands that make the release out of the commit; none when the commit is the release. */
  readonly build: readonly string[];
  /** How long they may take; null when it does not say. */
  readonly buildSeconds: number | null;
  readonly hooks: Hooks;
  /** How long each of them may take; null when it does not say. */
  readonly hookSeconds: number | null;
  /** Whether the website's databases are put back as they were when `update` fails. */
  readonly snapshotsDatabases: boolean;
  /** How long visitors' requests may wait from the switch until `update` has ended; null when they do not wait. */
  readonly holdSeconds: number | null;
}

/** What a deployment runs once, on the cluster's shell server; commands for a shell, each to succeed before the next. */
export type Hooks = Readonly<Record<HookName, readonly string[]>>;

/** `update` decides whether the release stays; `after` runs when it does, and only warns. */
export const HookName = z.enum(["update", "after"]);
export type HookName = z.infer<typeof HookName>;

export const NO_HOOKS: Hooks = { update: [], after: [] };

/** How a release is deployed. */
export const Procedure = z.object({
  /** Those that it has. */
  hooks: z.array(HookName),
  snapshotsDatabases: z.boolean(),
  holdSeconds: HoldSeconds.nullable(),
});
export type Procedure = z.infer<typeof Procedure>;

/** A Boxfile that may be used, or all that is wrong with it. */
export type BoxfileResult =
  | { readonly boxfile: Boxfile; readonly problems: readonly [] }
  | { readonly boxfile: null; readonly problems: readonly BoxfileProblem[] };

export interface BoxfileSurroundings {
  /** The website's environment label: every environment-specific file needs one for it. */
  readonly label: string;
  /** The commit that the Boxfile is part of. */
  readonly tree: RepositoryTree;
  /** The longest times that it may ask for, where they are known. */
  readonly longest?: LongestSeconds;
}

/** A person corrects a few at a time. */
const PROBLEMS_LIMIT = 20;

const NOTHING_DECLARED: Omit<Boxfile, "docroot"> = {
  version: "2.0",
  sharedFolders: [],
  envSpecificFiles: [],
  build: [],
  buildSeconds: null,
  hooks: NO_HOOKS,
  hookSeconds: null,
  snapshotsDatabases: false,
  holdSeconds: null,
};

/** Reads a commit's Boxfile (null when the commit has none: nothing is shared, nothing is environment-specific). Never throws. */
export function readBoxfile(content: Uint8Array | string | null, surroundings: BoxfileSurroundings): BoxfileResult {
  const { label, tree, longest = LARGEST_LIMITS } = surroundings;
  const docroot = detectDocroot(tree);
  if (content === null) return { boxfile: { ...NOTHING_DECLARED, docroot }, problems: [] };
  const parsed = parseBoxfile(content, { label, docroot, longest });
  const problems = parsed.problems.length > 0 ? parsed.problems : [...checkClashes(parsed), ...checkAgainstTree(parsed, tree)];
  if (problems.length > 0)
    return { boxfile: null, problems: problems.toSorted((a, b) => a.line - b.line || a.column - b.column).slice(0, PROBLEMS_LIMIT) };
  const envSpecificFiles = parsed.envSpecificFiles.map(({ path, targets }) => ({
    path,
    targets: Object.fromEntries(targets.map((target) => [target.label, target.path])),
  }));
  const { version, build, buildSeconds, hooks, hookSeconds, snapshotsDatabases, holdSeconds } = parsed;
  const sharedFolders = parsed.sharedFolders.map(({ path }) => path);
  const work = { build, buildSeconds, hooks, hookSeconds, snapshotsDatabases, holdSeconds };
  return { boxfile: { version, sharedFolders, envSpecificFiles, docroot, ...work }, problems: [] };
}
