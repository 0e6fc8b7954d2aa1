import { readFile, statfs } from "node:fs/promises";
import { cpus, release, totalmem } from "node:os";
import type { ServerStatus } from "#contract/status.ts";

let fixed: Record<string, string | number> | undefined;

/** What a server knows of itself, for targets and for people. */
export async function readFacts(): Promise<ServerStatus["facts"]> {
  fixed ??= await readFixed();
  const disk = await statfs("/srv");
  return { ...fixed, "disk.srv.freeBytes": disk.bavail * disk.bsize, "agent.rssBytes": process.memoryUsage.rss() };
}

async function readFixed(): Promise<Record<string, string | number>> {
  const system = await readFile("/etc/os-release", "utf8").catch(() => "");
  return {
    "os.release": /^VERSION_ID="?([^"\n]*)/m.exec(system)?.[1] ?? "unknown",
    kernel: release(),
    "cpu.count": cpus().length,
    "memory.totalBytes": totalmem(),
    "agent.pid": process.pid,
    "agent.node": process.version,
  };
}
