import { run } from "#base/run.ts";

/** Of some hundred thousand files. */
const LIMIT_MS = 600_000;

/**
 * Removes a file, or a directory with all that is in it; fine when it is not there. GNU rm opens each directory without
 * following a link and goes on from there, where Node goes by path: the owner of a part of the tree cannot lead it out of it
 * by renaming meanwhile, and no path gets too long.
 */
export async function removeTree(path: string): Promise<void> {
  await run(["rm", "-rf", "--", path], { timeoutMs: LIMIT_MS });
}
