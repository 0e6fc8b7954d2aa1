import { spawn } from "node:child_process";
import { once } from "node:events";
import { type FileHandle, open } from "node:fs/promises";
import { Fault } from "#base/fault.ts";

/** Where flock(1) finds the opened file. */
const DESCRIPTOR = 3;

export interface MachineLockOptions {
  /** Called once when another process holds the lock. */
  readonly onWait: () => void;
  /** How long to wait for it at most. */
  readonly limitMs: number;
}

/**
 * Does work while no other process of this machine holds the lock. The kernel ties a lock to the opened file, which no child of
 * ours inherits: however the holder ends, the lock is free at once. The file stays, because those who wait have it open already.
 */
export async function holdMachineLock<T>(path: string, work: () => Promise<T>, { onWait, limitMs }: MachineLockOptions): Promise<T> {
  const file = await openLock(path);
  try {
    if (!(await flock(file, ["--nonblock"]))) {
      onWait();
      if (!(await flock(file, ["--timeout", String(limitMs / 1000)]))) throw stillHeld(path, limitMs);
    }
    return await work();
  } finally {
    await file.close();
  }
}

/** Does work if no other process holds the lock; otherwise nothing. */
export async function withFreeMachineLock(path: string, work: () => Promise<void>): Promise<void> {
  const file = await openLock(path);
  try {
    if (await flock(file, ["--nonblock"])) await work();
  } finally {
    await file.close();
  }
}

/** For root alone: who can open it can hold it. */
function openLock(path: string): Promise<FileHandle> {
  return open(path, "a", 0o600);
}

/** Node has no flock(2), but a lock that flock(1) takes on our opened file stays when flock(1) ends. */
async function flock(file: FileHandle, options: readonly string[]): Promise<boolean> {
  const child = spawn("flock", [...options, String(DESCRIPTOR)], { stdio: ["ignore", "ignore", "ignore", file.fd] });
  const [exitCode] = (await once(child, "exit")) as [number | null];
  if (exitCode !== 0 && exitCode !== 1) throw new Fault("lock.failed", `flock ended with ${exitCode}`);
  return exitCode === 0;
}

function stillHeld(path: string, limitMs: number): Fault {
  return new Fault("lock.held", `another process has held ${path} for ${Math.round(limitMs / 60_000)} minutes`, {
    next: `see which one, with fuser -v ${path}; when it has ended, run the command again`,
  });
}
