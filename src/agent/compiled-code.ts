import { lstat, readdir } from "node:fs/promises";
import { directory } from "./converge/file.ts";
import { removeTree } from "./converge/remove-tree.ts";
import type { Resource } from "./converge/resource.ts";

/** Where Node keeps the compiled code of root's programs: the agent, and what makes a control server ready. */
const PATH = "/var/cache/boxyard/node";

/** Root runs what lies there: nobody else may write, and what others have written while everybody could is gone. */
export function compiledCode(path = PATH): Resource[] {
  return [
    directory({ path, mode: 0o755 }),
    {
      id: "compiled code",
      mismatch: async () => {
        const [name] = await namesOfOthers(path);
        return name === undefined ? null : `${path}/${name} is not root's`;
      },
      apply: async () => {
        for (const name of await namesOfOthers(path)) await removeTree(`${path}/${name}`);
      },
    },
  ];
}

async function namesOfOthers(path: string): Promise<string[]> {
  const names = await readdir(path);
  const owners = await Promise.all(names.map(async (name) => (await lstat(`${path}/${name}`).catch(() => null))?.uid ?? 0));
  return names.filter((_, nth) => owners[nth] !== 0);
}
