import type { Cloud } from "#cloud/driver.ts";
import { serverRecipe } from "#cloud/images/recipe.ts";
import { findMirrors, packageSources } from "#cloud/images/sources.ts";

const SOURCES = "/etc/apt/sources.list";
/** What servers of older images have: a release without its updates. Anything else an operator has written. */
const OLDER = /^deb \S+ trixie main\s*$/;

/** Servers of older images get the updates and security updates among their package sources; installing them is the operator's. */
export async function ensurePackageSources(cloud: Cloud, servers: readonly string[]): Promise<void> {
  const content = `${packageSources(serverRecipe, await findMirrors()).join("\n")}\n`;
  for (const server of servers) {
    // A builder may be gone by now; a server that could not be asked is asked by the next bin/up.
    const have = await cloud.readFile(server, SOURCES).catch(() => null);
    if (have !== null && OLDER.test(new TextDecoder().decode(have))) await cloud.writeFile(server, { path: SOURCES, content });
  }
}
