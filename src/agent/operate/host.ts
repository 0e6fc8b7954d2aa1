import { statfs } from "node:fs/promises";
import type { z } from "zod";
import { Fault } from "#base/fault.ts";
import { run } from "#base/run.ts";
import type { disk, processes } from "#contract/actions/server.ts";

/** Fault "server.no-path" when the server has no such path. */
export async function readDisk(path: string): Promise<z.output<typeof disk.output>> {
  const { blocks, bavail, bfree, bsize } = await statfs(path).catch((cause: unknown) => {
    throw new Fault("server.no-path", `there is no ${path} on this server`, { cause });
  });
  // As df counts: of what is not root's reserve.
  const usable = blocks - bfree + bavail;
  const usedPercent = usable === 0 ? 0 : Math.round(((blocks - bfree) / usable) * 1000) / 10;
  return { path, totalBytes: blocks * bsize, freeBytes: bavail * bsize, usedPercent };
}

/** The processes with the most memory, greatest first; commands without their arguments, which may carry secrets. */
export async function readProcesses(count: number): Promise<z.output<typeof processes.output>> {
  const { stdout } = await run(["ps", "-eo", "pid=,user:32=,rss=,cputimes=,comm=", "--sort=-rss"]);
  const lines = stdout.trimEnd().split("\n");
  const read = lines.slice(0, count).map((line) => {
    const [pid, user = "", kilobytes, cpuSeconds, ...command] = line.trim().split(/\s+/);
    return { pid: Number(pid), user, command: command.join(" "), memoryBytes: Number(kilobytes) * 1024, cpuSeconds: Number(cpuSeconds) };
  });
  return { total: lines.length, processes: read };
}
