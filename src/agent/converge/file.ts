import { mkdir, readFile, stat } from "node:fs/promises";
import { writeFileAtomic } from "#base/atomic-file.ts";
import { run } from "#base/run.ts";
import type { WebsiteId } from "#contract/names.ts";
import { accountIds } from "./accounts.ts";
import type { Resource } from "./resource.ts";

/** Owner and permission bits; root:root by default. */
export interface Ownership {
  readonly mode?: number;
  readonly owner?: string;
  readonly group?: string;
}

/** A file with this content. */
export function file(want: { readonly path: string; readonly content: string } & Ownership): Resource {
  const { path, content, mode = 0o644 } = want;
  return {
    id: `file ${path}`,
    mismatch: async () => {
      const have = await readFile(path, "utf8").catch(() => null);
      if (have === null) return "is missing";
      if (have !== content) return "has other content";
      return ownershipMismatch(path, { ...want, mode });
    },
    apply: async () => {
      const { uid, gid } = await accountIds(want.owner, want.group);
      await writeFileAtomic(path, content, { mode, uid, gid });
    },
  };
}

/** A directory; its parents are made too. One that a website can change names it. */
export function directory(want: { readonly path: string; readonly website?: WebsiteId } & Ownership): Resource {
  const { path, mode = 0o755, website } = want;
  return {
    id: `directory ${path}`,
    ...(website === undefined ? {} : { website }),
    mismatch: async () => {
      const have = await stat(path).catch(() => null);
      if (have === null) return "is missing";
      if (!have.isDirectory()) return "is not a directory";
      return ownershipMismatch(path, { ...want, mode });
    },
    apply: async () => {
      await mkdir(path, { recursive: true });
      const { uid, gid } = await accountIds(want.owner, want.group);
      await run(["chown", "-h", "--", `${uid}:${gid}`, path]);
      await run(["chmod", "--", mode.toString(8), path]);
    },
  };
}

/** Why owner or permission bits are not as wanted, or null. */
export async function ownershipMismatch(path: string, { mode, owner, group }: Ownership): Promise<string | null> {
  const have = await stat(path);
  const { uid, gid } = await accountIds(owner, group);
  if (have.uid !== uid || have.gid !== gid) return `belongs to ${have.uid}:${have.gid}, not to ${uid}:${gid}`;
  const bits = have.mode & 0o7777;
  return mode === undefined || bits === mode ? null : `has mode ${bits.toString(8)}, not ${mode.toString(8)}`;
}
