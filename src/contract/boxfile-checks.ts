import type { ParsedBoxfile, ParsedEnvSpecificFile, PlacedPath } from "./boxfile-parse.ts";
import { isWithin } from "./boxfile-path.ts";
import type { BoxfileProblem } from "./boxfile-syntax.ts";
import { parentOf, type RepositoryTree } from "./repository-tree.ts";

/** Names that the platform puts at the root of each release. */
const PLATFORM_NAMES = ["config/drupal", "config/wordpress", "config/environment", "private", "tmp", ".boxyard-release"] as const;

/** Declared paths that stand in each other's way. */
export function checkClashes({ sharedFolders, envSpecificFiles }: ParsedBoxfile): BoxfileProblem[] {
  return [
    ...[...sharedFolders, ...envSpecificFiles].flatMap(onPlatformName),
    ...sharedFolders.flatMap((folder, index) => nestedShared(folder, sharedFolders.slice(0, index))),
    ...envSpecificFiles.flatMap((file, index) => nestedFiles(file, envSpecificFiles.slice(0, index))),
    ...envSpecificFiles.flatMap((file) => sharedAndSpecific(file, sharedFolders)),
  ];
}

/** Declared paths that do not fit what the commit holds. */
export function checkAgainstTree({ sharedFolders, envSpecificFiles }: ParsedBoxfile, tree: RepositoryTree): BoxfileProblem[] {
  return [
    ...[...sharedFolders, ...envSpecificFiles].flatMap((one) => inPlatformConfig(one, tree)),
    ...sharedFolders.flatMap((folder) => [...throughNoFolder(folder, tree), ...sharedOverFile(folder, tree)]),
    ...envSpecificFiles.flatMap((file) => [
      ...throughNoFolder(file, tree),
      ...linkOverFolder(file, tree),
      ...file.targets.flatMap((target) => [...missingTarget(target, tree), ...targetIsLink(file, target)]),
    ]),
  ];
}

function onPlatformName({ path, place }: PlacedPath): BoxfileProblem[] {
  const name = PLATFORM_NAMES.find((platform) => isWithin(path, platform));
  if (name === undefined) return [];
  const mend = name === "private" ? "remove the line: private is shared by all servers already" : "choose another path";
  return [{ ...place, message: `“${path}” lies in ${name}, which Boxyard provides in each release`, mend }];
}

/** A commit may have a config directory of its own; without one, config is the platform's whole. */
function inPlatformConfig({ path, place }: PlacedPath, tree: RepositoryTree): BoxfileProblem[] {
  if (path !== "config" && (!isWithin(path, "config") || tree.kindOf("config") === "folder")) return [];
  return [{ ...place, message: `“${path}” lies in config, which Boxyard provides in each release`, mend: "choose another path" }];
}

function nestedShared({ path, place }: PlacedPath, earlier: readonly PlacedPath[]): BoxfileProblem[] {
  const other = earlier.find((one) => isWithin(path, one.path) || isWithin(one.path, path));
  if (other === undefined) return [];
  const how = other.path === path ? "is declared already" : `lies in “${other.path}” or the other way round`;
  return [{ ...place, message: `the shared folder “${path}” ${how} (line ${other.place.line})`, mend: "keep the outer one only" }];
}

function nestedFiles({ path, place }: PlacedPath, earlier: readonly PlacedPath[]): BoxfileProblem[] {
  const other = earlier.find((one) => isWithin(path, one.path) || isWithin(one.path, path));
  if (other === undefined) return [];
  return [
    { ...place, message: `“${path}” and “${other.path}” of line ${other.place.line} are in each other's way`, mend: "keep one of them" },
  ];
}

function sharedAndSpecific(file: ParsedEnvSpecificFile, sharedFolders: readonly PlacedPath[]): BoxfileProblem[] {
  return [file, ...file.targets].flatMap(({ path, place }) => {
    const folder = sharedFolders.find((shared) => isWithin(path, shared.path) || isWithin(shared.path, path));
    if (folder === undefined) return [];
    const message = `“${path}” collides with the shared folder “${folder.path}” of line ${folder.place.line}`;
    return [{ ...place, message, mend: "an environment-specific file comes from the commit: keep it outside of shared folders" }];
  });
}

/** A path whose way leads through a link or a file of the commit: what would be made there is not what the Boxfile means. */
function throughNoFolder({ path, place }: PlacedPath, tree: RepositoryTree): BoxfileProblem[] {
  for (let folder = parentOf(path); folder !== ""; folder = parentOf(folder)) {
    const kind = tree.kindOf(folder);
    if (kind === "link")
      return [{ ...place, message: `“${path}” leads through the link “${folder}”`, mend: "name the folder that the link points at" }];
    if (kind === "file")
      return [{ ...place, message: `“${path}” leads through “${folder}”, which is a file in this commit`, mend: "correct the path" }];
  }
  return [];
}

function sharedOverFile({ path, place }: PlacedPath, tree: RepositoryTree): BoxfileProblem[] {
  const kind = tree.kindOf(path);
  if (kind !== "file" && kind !== "link") return [];
  return [
    {
      ...place,
      message: `the shared folder “${path}” is a ${kind} in this commit`,
      mend: "correct the path, or remove it from the repository",
    },
  ];
}

function linkOverFolder({ path, place }: PlacedPath, tree: RepositoryTree): BoxfileProblem[] {
  if (tree.kindOf(path) !== "folder") return [];
  return [{ ...place, message: `“${path}” is a folder in this commit`, mend: "name a file: a link is put there" }];
}

function missingTarget({ path, place }: PlacedPath, tree: RepositoryTree): BoxfileProblem[] {
  const kind = tree.kindOf(path);
  if (kind === "file" || kind === "link") return [];
  if (kind !== null) return [{ ...place, message: `“${path}” is a ${kind} in this commit`, mend: "name a file" }];
  return [
    {
      ...place,
      message: `this commit has no file “${path}”`,
      mend: "add the file (git add), or correct the path, which starts at the directory of the link",
    },
  ];
}

function targetIsLink(file: PlacedPath, target: PlacedPath): BoxfileProblem[] {
  if (file.path !== target.path) return [];
  return [{ ...target.place, message: `“${file.path}” would be a link to itself`, mend: "name another file" }];
}
