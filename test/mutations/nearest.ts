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

/** The tests that can notice a change of the file, those that are the fewest imports away first; those beside the file are the nearest. */
export function nearestTests(file: string, importers: Importers): string[][] {
  const byDistance: string[][] = [];
  const seen = new Set([file]);
  for (let ring = [file]; ring.length > 0; ) {
    const next = ring.flatMap((one) => [...(importers.get(one) ?? [])]).filter((one) => !seen.has(one) && seen.add(one));
    byDistance.push(next.filter((one) => one.endsWith(".test.ts")).sort());
    ring = next;
  }
  const beside = byDistance.flat().filter((test) => dirname(test) === dirname(file));
  return [beside, ...byDistance.map((tests) => tests.filter((test) => !beside.includes(test)))].filter((tests) => tests.length > 0);
}

function targetOf(file: string, specifier: string): string | null {
  const alias = ALIAS.exec(specifier);
  if (alias !== null) return alias[1] === "harness" ? `test/harness/${alias[2]}` : `src/${alias[1]}/${alias[2]}`;
  return specifier.startsWith(".") ? normalize(join(dirname(file), specifier)) : null;
}
