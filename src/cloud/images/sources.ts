import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import type { Recipe } from "./recipe.ts";

/** Where Debian's packages come from: releases, and their security updates, which mirrors keep apart. */
export interface Mirrors {
  readonly main: string;
  readonly security: string;
}

const DEBIAN: Mirrors = { main: "http://deb.debian.org/debian", security: "http://deb.debian.org/debian-security" };
const APT = "/etc/apt";

/** The lines of a server's sources.list: the release, its updates and its security updates. */
export function packageSources({ suite, updateSuites }: Recipe, { main, security }: Mirrors): string[] {
  return [`deb ${main} ${suite} main`, `deb ${main} ${updateSuites.updates} main`, `deb ${security} ${updateSuites.security} main`];
}

/** The mirrors that this machine uses itself. */
export async function findMirrors(): Promise<Mirrors> {
  const names = (await readdir(join(APT, "sources.list.d")).catch(() => [])).filter((name) => /\.(sources|list)$/.test(name)).sort();
  const paths = inOrder(names).map((name) => join(APT, name));
  return parseMirrors(await Promise.all(paths.map((path) => readFile(path, "utf8").catch(() => ""))));
}

/** Debian's own files first, in either format: others may name a vendor's archive that is called "debian", too. */
export function inOrder(names: readonly string[]): string[] {
  const own = ["sources.list.d/debian.sources", "sources.list"];
  return [...own, ...names.map((name) => `sources.list.d/${name}`).filter((path) => !own.includes(path))];
}

/** What package sources in either format say; a mirror with no security archive named is taken to have it beside its releases. */
export function parseMirrors(files: readonly string[]): Mirrors {
  const main = findUri(files, "debian");
  const security = findUri(files, "debian-security");
  if (main === undefined) return { ...DEBIAN, ...(security === undefined ? {} : { security }) };
  return { main, security: security ?? `${main}-security` };
}

function findUri(files: readonly string[], archive: string): string | undefined {
  const deb822 = new RegExp(`^URIs:\\s*(?:\\S+\\s+)*?(\\S+/${archive})/?(?:\\s|$)`, "m");
  const oneLine = new RegExp(`^deb\\s+(?:\\[[^\\]]*\\]\\s+)?(\\S+/${archive})/?\\s`, "m");
  return files.map((text) => deb822.exec(text)?.[1] ?? oneLine.exec(text)?.[1]).find((uri) => uri !== undefined);
}
