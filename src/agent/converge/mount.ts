import { readFile } from "node:fs/promises";
import { Fault } from "#base/fault.ts";
import { type Argv, run } from "#base/run.ts";
import type { Resource } from "./resource.ts";
import { showUnit } from "./unit-state.ts";

export interface MountWant {
  readonly path: string;
  /** Flags of mount(8) that it has at least, such as `nosuid`. */
  readonly flags: readonly string[];
}

/** Changes the flags of a mount and of nothing else. */
export function remount({ path, flags }: MountWant): Argv {
  return ["mount", "-o", ["remount", "bind", ...flags].join(","), path];
}

/** A mount with these flags. */
export function mountFlags(want: MountWant): Resource {
  return {
    id: `mount ${want.path}`,
    mismatch: async () => flagsMismatch(want, await readFile("/proc/self/mountinfo", "utf8")),
    apply: async () => {
      await run(remount(want));
    },
  };
}

/**
 * The same mount as a running service sees it. A service with a mount name space of its own keeps the flags that the mount
 * had when the service started; they are changed there too, so that it need not be started again.
 */
export function mountFlagsSeenBy(
  unit: string,
  want: MountWant,
  findProcess: (unit: string) => Promise<number | null> = mainProcess,
): Resource {
  return {
    id: `mount ${want.path} as ${unit} sees it`,
    mismatch: async () => {
      const pid = await findProcess(unit);
      const seen = pid === null ? null : await readFile(`/proc/${pid}/mountinfo`, "utf8").catch(() => null);
      return seen === null ? null : flagsMismatch(want, seen);
    },
    apply: async () => {
      const pid = await findProcess(unit);
      if (pid === null) throw new Fault("converge.no-process", `${unit} has ended meanwhile`);
      await run(["nsenter", `--target=${pid}`, "--mount", "--", ...remount(want)]);
    },
  };
}

/** Why the mount's flags are not as wanted, or null; `mountinfo` is that of proc_pid_mountinfo(5). */
export function flagsMismatch({ path, flags }: MountWant, mountinfo: string): string | null {
  const mounts = mountinfo.split("\n").map((line) => line.split(" "));
  // What was mounted last lies on top.
  const found = mounts.findLast((fields) => fields[4] === path);
  if (found === undefined) return "is not mounted";
  const has = new Set(found[5]?.split(","));
  const missing = flags.filter((flag) => !has.has(flag));
  return missing.length === 0 ? null : `lacks ${missing.join(", ")}`;
}

/** A unit's main process, which is root's: no tenant chooses whose name space is entered. */
async function mainProcess(unit: string): Promise<number | null> {
  return (await showUnit(unit)).mainPid;
}
