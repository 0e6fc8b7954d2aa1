import { lstat, readlink } from "node:fs/promises";
import { Fault } from "#base/fault.ts";
import { run } from "#base/run.ts";
import type { WebsiteOnServer } from "#contract/spec/website.ts";
import { asAccount } from "../../converge/as-account.ts";
import type { Resource } from "../../converge/resource.ts";
import { type SiteRoots, sitePaths } from "../../website/paths.ts";

const TARGET = "../current";

/**
 * `~/current` leads to the live release. It lies where the website does as it likes, so it is made with the website's
 * rights, and something else that stands there is the website's own matter.
 */
export function homeLink({ id, uid }: Pick<WebsiteOnServer, "id" | "uid">, roots?: SiteRoots): Resource {
  const path = `${sitePaths(id, roots).site}/home/current`;
  return {
    id: `~/current of ${id}`,
    website: id,
    mismatch: async () => {
      const target = await readlink(path).catch(() => null);
      return target === TARGET ? null : `points to ${target ?? "nothing"}, not to ${TARGET}`;
    },
    apply: async () => {
      const found = await lstat(path).catch(() => null);
      if (found !== null && !found.isSymbolicLink()) throw inTheWay(path, found.isDirectory() ? "a directory" : "a file");
      // -T: what has become a directory meanwhile is refused, not linked into.
      await run(asAccount(uid, ["ln", "-sfT", "--", TARGET, path]), { cwd: "/" });
    },
  };
}

function inTheWay(path: string, what: string): Fault {
  return new Fault("shell.link-blocked", `${path} is ${what}, where the link to the live release should be`, {
    next: "move it away on the shell server: mv ~/current ~/current.mine",
  });
}
