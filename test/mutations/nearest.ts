import { readFile } from "node:fs/promises";
import { dirname, join, normalize } from "node:path";
import ts from "typescript";

const ALIAS = /^#(\w+)\/(.*)$/;

/** Which files of a tree import which; paths are relative to its root. */
export type Importers = ReadonlyMap<string, ReadonlySet<string>>;

/** Reads what imports what, dynamic imports too. */
export async function readImporters(root: string, files: readonly string[]): Promise<Importers> {
  const importers = new Map<string, Set<string>>();
  for (const file of files) {
    const { importedFiles } = ts.preProcessFile(await readFile(join(root, file), "utf8"), true, true);
    for (const { fileName } of importedFiles) {
      const target = targetOf(file, fileName);
      if (target !== null) importers.set(target, (importers.get(target) ?? new Set()).add(file));
    }
  }
  return importers;
}

/**
 * The tests that can notice a change of the file, the nearest first: those beside it, then those that are the fewest imports away;
 * of those that are as many imports away, those that have more of their path in common with it.
 */
export function nearestTests(file: string, importers: Importers): string[] {
  const found: string[] = [];
  const seen = new Set([file]);
  for (let ring = [file]; ring.length > 0; ) {
    const next = ring.flatMap((one) => usersOf(one, importers)).filter((one) => !seen.has(one) && seen.add(one));
    found.push(...next.filter(isTest).sort((a, b) => sharedFolders(b, file) - sharedFolders(a, file) || (a < b ? -1 : 1)));
    ring = next;
  }
  const isBeside = (test: string): boolean => dirname(test) === dirname(file);
  return [...found.filter(isBeside), ...found.filter((test) => !isBeside(test))];
}

/** What nothing imports is a program of its own: the tests of its folder, or of the one around it, start it by its path. */
function usersOf(file: string, importers: Importers): readonly string[] {
  const known = importers.get(file);
  if (known !== undefined || isTest(file)) return [...(known ?? [])];
  const folders = [dirname(file), dirname(dirname(file))];
  return [...new Set([...importers.values()].flatMap((users) => [...users]))].filter(
    (user) => isTest(user) && folders.includes(dirname(user)),
  );
}

/** How many folders from the root on two files have in common. */
function sharedFolders(one: string, other: string): number {
  const folders = other.split("/");
  const differs = one.split("/").findIndex((folder, index) => folder !== folders[index]);
  return differs < 0 ? folders.length : differs;
}

function isTest(file: string): boolean {
  return file.endsWith(".test.ts");
}

function targetOf(file: string, specifier: string): string | null {
  const alias = ALIAS.exec(specifier);
  if (alias !== null) return alias[1] === "harness" ? `test/harness/${alias[2]}` : `src/${alias[1]}/${alias[2]}`;
  return specifier.startsWith(".") ? normalize(join(dirname(file), specifier)) : null;
}
