import { statfs } from "node:fs/promises";
import { Fault } from "#base/fault.ts";

/** What a file or folder takes beside its content. */
const OVERHEAD_BYTES = 4_096;
/** Left free, so that the server itself can go on. */
const RESERVE_BYTES = 8 << 20;

/** How much a tree with contents of these sizes takes on disk, at most. */
export function spaceFor(sizes: readonly number[], folders: number): number {
  return sizes.reduce((sum, bytes) => sum + bytes + OVERHEAD_BYTES, folders * OVERHEAD_BYTES);
}

/** Throws Fault "release.no-space" when the file system of the directory has less free than is needed. */
export async function ensureSpace(directory: string, neededBytes: number): Promise<void> {
  const { bavail, bsize } = await statfs(directory);
  const freeBytes = bavail * bsize;
  if (freeBytes < neededBytes + RESERVE_BYTES) throw noSpace(directory, { neededBytes: neededBytes + RESERVE_BYTES, freeBytes });
}

/** The fault as it is when the disk is full all the same, at any step. */
export function noSpace(directory: string, facts: { neededBytes: number; freeBytes: number } | null, cause?: unknown): Fault {
  const how = facts === null ? "the disk is full" : `it needs ${megabytes(facts.neededBytes)} and ${megabytes(facts.freeBytes)} are free`;
  return new Fault("release.no-space", `no space for the release in ${directory}: ${how}`, {
    cause,
    next: `free space there (older releases, logs, files), then push the commit again`,
    details: facts ?? {},
  });
}

/** Whether something went wrong because a disk or a quota is full. */
export function isOutOfSpace(thrown: unknown): boolean {
  for (let at = thrown; at instanceof Error; at = at.cause) {
    if (/\b(ENOSPC|EDQUOT)\b|No space left on device|Disk quota exceeded/.test(`${(at as { code?: unknown }).code ?? ""} ${at.message}`))
      return true;
  }
  return false;
}

function megabytes(bytes: number): string {
  return `${(bytes / 1_048_576).toFixed(1)} MB`;
}
