import { readFile, statfs } from "node:fs/promises";
import { cpus, freemem, loadavg, release, totalmem } from "node:os";
import { KERNEL_PROTECTIONS } from "#contract/kernel-protections.ts";
import { type ServerStatus, UNPROTECTED_FACT } from "#contract/status.ts";

type Facts = ServerStatus["facts"];

let fixed: Facts | undefined;
let last: { readonly facts: Facts; readonly atMs: number } | undefined;

/** What a server knows of itself, for targets and for people, read at most `maxAgeMs` ago; sizes in bytes. */
export async function readFacts(maxAgeMs = 0): Promise<Facts> {
  if (last !== undefined && performance.now() - last.atMs <= maxAgeMs) return last.facts;
  fixed ??= await readFixed();
  last = { facts: { ...fixed, ...(await readMoving()) }, atMs: performance.now() };
  return last.facts;
}

async function readMoving(): Promise<Facts> {
  const disk = await statfs("/srv").catch(() => statfs("/"));
  const [loadMinute = 0] = loadavg();
  return {
    "disk.free": disk.bavail * disk.bsize,
    "disk.total": disk.blocks * disk.bsize,
    "memory.available": freemem(),
    "load.minute": Math.round(loadMinute * 100) / 100,
    [UNPROTECTED_FACT]: (await findUnprotected()).join(" "),
  };
}

/** Which protections the kernel has off, or lower than wanted; the host sets them, a server can only read them. */
export async function findUnprotected(settings = "/proc/sys"): Promise<string[]> {
  const found = await Promise.all(
    Object.entries(KERNEL_PROTECTIONS).map(async ([name, wanted]) => {
      const value = await readFile(`${settings}/${name.replace(".", "/")}`, "utf8").catch(() => null);
      // What cannot be read is not known to be off.
      return value !== null && Number(value) < wanted ? [name] : [];
    }),
  );
  return found.flat();
}

/** The version of Boxyard that this process runs. */
export async function readVersion(): Promise<string> {
  const text = await readFile(new URL("../../package.json", import.meta.url), "utf8");
  return (JSON.parse(text) as { version: string }).version;
}

async function readFixed(): Promise<Record<string, string | number>> {
  const system = await readFile("/etc/os-release", "utf8").catch(() => "");
  return {
    "os.name": /^ID="?([^"\n]*)/m.exec(system)?.[1] ?? "unknown",
    "os.release": /^VERSION_ID="?([^"\n]*)/m.exec(system)?.[1] ?? "unknown",
    "os.kernel": release(),
    "cpu.count": cpus().length,
    "memory.total": totalmem(),
    "agent.version": await readVersion(),
    "agent.node": process.version,
  };
}
