import { randomBytes } from "node:crypto";
import { readlinkSync, renameSync, rmSync } from "node:fs";
import { lstat, rename, rm, symlink } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { microsOf, nowMicros } from "#base/clock.ts";
import { Fault } from "#base/fault.ts";
import { CommitId } from "#contract/names.ts";
import type { SitePaths } from "../paths.ts";
import { readReleaseFile } from "./release-file.ts";

/** A timer may be this late, so that the rest of the way is slept through by the kernel's clock. */
const TIMER_MICROS = 2_000;
/** Nobody ever writes here: it is only waited at. */
const NOWHERE = new Int32Array(new SharedArrayBuffer(4));

export interface SwitchOptions {
  readonly paths: SitePaths;
  readonly release: CommitId;
  /** The agreed instant, and how much later it may still be done; null: at once. */
  readonly when: { readonly at: string; readonly latestMs: number } | null;
  readonly signal: AbortSignal;
  /** Asked in the very moment before the rename; when it says no, nothing is done. */
  readonly isStillWanted?: () => boolean;
  /** Called right after the rename, before anything else can happen. */
  readonly onSwitched?: () => void;
}

export interface Switched {
  readonly switchedAtMicros: number;
  readonly previous: CommitId | null;
  /** For how long all was ready when the instant came; null when nothing had to be done. */
  readonly waitedMs: number | null;
}

/**
 * Makes a staged release live by one rename at the agreed instant; all else is done before or after.
 * Faults: release.not-staged, release.too-late, release.overtaken (it was not wanted any more), release.switch-failed.
 */
export async function switchRelease({ paths, release, when, signal, isStillWanted, onSwitched }: SwitchOptions): Promise<Switched> {
  const atMicros = when === null ? nowMicros() : microsOf(when.at);
  if (when !== null) refuseTooLate(atMicros, when.latestMs);
  if ((await readReleaseFile(paths.release(release))) === null)
    throw new Fault("release.not-staged", `cannot switch to release ${release}: it is not staged on this server`, {
      next: "stage it first (push the commit again)",
    });
  const previous = readLive(paths);
  if (previous === release) {
    // Asked again, by somebody who did not hear the answer: what counts is when visitors met it first.
    onSwitched?.();
    return { switchedAtMicros: await switchedAt(paths), previous, waitedMs: null };
  }
  const next = await prepareLink(paths, release);
  const waitedMs = Math.max(0, atMicros - nowMicros()) / 1_000;
  try {
    await waitUntil(atMicros, signal);
    if (when !== null) refuseTooLate(atMicros, when.latestMs);
    if (isStillWanted?.() === false) throw new Fault("release.overtaken", `release ${release} is not to be live any more`);
  } catch (thrown) {
    await rm(next, { force: true });
    throw thrown;
  }
  const switchedAtMicros = renameNow(next, paths.current);
  onSwitched?.();
  if (previous !== null) await pointAt(paths.previous, previous);
  return { switchedAtMicros, previous, waitedMs };
}

/** Takes the live release off; the website then answers as before its first deployment. */
export async function withdrawRelease(paths: SitePaths, isStillWanted?: () => boolean): Promise<CommitId | null> {
  const previous = readLive(paths);
  if (isStillWanted?.() === false) return previous;
  try {
    rmSync(paths.current, { force: true });
  } catch (cause) {
    throw new Fault("release.switch-failed", "cannot take the live release off", { cause });
  }
  return previous;
}

/** The live release, null when there is none. */
export function readLive(paths: SitePaths): CommitId | null {
  return readCommitLink(paths.current);
}

/** The commit that `current` or `previous` names; read at once, so that nothing can switch between the question and the answer. */
export function readCommitLink(link: string): CommitId | null {
  const target = readLink(link);
  if (target === null) return null;
  const commit = CommitId.safeParse(target.replace(/^releases\//, ""));
  return commit.success ? commit.data : null;
}

function readLink(link: string): string | null {
  try {
    return readlinkSync(link);
  } catch {
    return null;
  }
}

/** When the link was put in its place: a rename changes its status. */
async function switchedAt({ current }: SitePaths): Promise<number> {
  const { ctimeNs } = await lstat(current, { bigint: true });
  return Number(ctimeNs / 1_000n);
}

/** The link is made under another name and renamed once, so that the rename at the instant is on a warm path. */
async function prepareLink(paths: SitePaths, release: CommitId): Promise<string> {
  const next = besides(paths.current);
  const first = `${next}.first`;
  await symlink(`releases/${release}`, first);
  renameNow(first, next);
  return next;
}

function renameNow(from: string, to: string): number {
  try {
    renameSync(from, to);
  } catch (cause) {
    throw new Fault("release.switch-failed", `cannot rename ${from} to ${to}`, { cause });
  }
  return nowMicros();
}

async function pointAt(link: string, release: CommitId): Promise<void> {
  const next = besides(link);
  await symlink(`releases/${release}`, next);
  await rename(next, link);
}

/** A name that nobody else uses: a deployment and the server's own turn may both switch in the same moment. */
function besides(link: string): string {
  return `${link}.next-${randomBytes(4).toString("hex")}`;
}

function refuseTooLate(atMicros: number, latestMs: number): void {
  const lateMs = (nowMicros() - atMicros) / 1_000;
  if (lateMs <= latestMs) return;
  throw new Fault(
    "release.too-late",
    `cannot switch at the agreed instant: it was ${lateMs.toFixed(1)} ms ago, at most ${latestMs} ms are allowed`,
  );
}

/** To some ten microseconds, and without keeping a processor busy: it may be the one that another server of the host needs. */
async function waitUntil(atMicros: number, signal: AbortSignal): Promise<void> {
  const sleepMs = (atMicros - TIMER_MICROS - nowMicros()) / 1_000;
  if (sleepMs > 0) await sleep(sleepMs, undefined, { signal });
  for (let leftMicros = atMicros - nowMicros(); leftMicros > 0; leftMicros = atMicros - nowMicros())
    Atomics.wait(NOWHERE, 0, 0, leftMicros / 1_000);
}
