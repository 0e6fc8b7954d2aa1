import { randomBytes } from "node:crypto";
import { access, mkdir, readdir, rename, rm, writeFile } from "node:fs/promises";
import { posix } from "node:path";
import { nowMicros, timestampOf } from "#base/clock.ts";
import { Fault, reportFault } from "#base/fault.ts";
import type { Log } from "#base/log.ts";
import { readBoxfile } from "#contract/boxfile.ts";
import { describeBoxfileProblem } from "#contract/boxfile-syntax.ts";
import type { CommitId, WebsiteId } from "#contract/names.ts";
import type { GitSource } from "#contract/spec/website.ts";
import { removeTree } from "../../converge/remove-tree.ts";
import type { SitePaths } from "../paths.ts";
import { CommitTree } from "./commit-tree.ts";
import { git, runGit } from "./git.ts";
import { additionsOf, type ListedEntry, parseListing, type TreeChanges } from "./listing.ts";
import { ObjectReader } from "./object-reader.ts";
import { type Overlay, overlayMask, planOverlay } from "./overlay.ts";
import type { PackSource } from "./pack-source.ts";
import { formatReleaseFile, listStaged, RELEASE_FILE, readReleaseFile, type StagedRelease } from "./release-file.ts";
import { isDamaged, openRepository, type ReleaseRepository } from "./repository.ts";
import { ensureSharedFolders } from "./shared-folders.ts";
import { ensureSpace, isOutOfSpace, noSpace, spaceFor } from "./space.ts";
import { copyOf, hasSpare } from "./spare.ts";
import { TreeWriter } from "./tree-writer.ts";
import { writeEntries } from "./write-entries.ts";

export interface StageOptions {
  readonly website: { readonly id: WebsiteId; readonly uid: number; readonly environment: string };
  readonly commit: CommitId;
  readonly paths: SitePaths;
  readonly source: GitSource;
  readonly packs: Pick<PackSource, "fetchInto">;
  /** Whether the release goes without shared folders in whose place the website has put something else; the pusher hears of it instead. */
  readonly mayLackFolders: boolean;
  readonly log: Log;
  readonly signal: AbortSignal;
}

/** Puts a release beside the live one; gives what is there already when it was staged before. */
export async function stageRelease(options: StageOptions): Promise<StagedRelease> {
  const { website, commit, paths } = options;
  const already = await readReleaseFile(paths.release(commit));
  if (already !== null && already.environment === website.environment) return already;
  try {
    return await makeOrRepair(options);
  } catch (cause) {
    if (cause instanceof Fault && cause.code === "release.no-space") throw cause;
    if (isOutOfSpace(cause)) throw noSpace(paths.releases, null, cause);
    throw new Fault("release.stage-failed", `cannot stage ${website.id}'s release ${commit}`, { cause });
  }
}

/** A damaged repository is thrown away and fetched anew; the releases that were made from it stay. */
async function makeOrRepair(options: StageOptions): Promise<StagedRelease> {
  const { website, commit, paths, log, signal } = options;
  try {
    return await makeRelease(options);
  } catch (cause) {
    if (signal.aborted || isOutOfSpace(cause) || !(await isDamaged(paths.repository, signal))) throw cause;
    log.warn({ website: website.id, commit, fault: reportFault(cause) }, "damaged repository, fetched anew");
    await removeTree(paths.repository);
    return makeRelease(options);
  }
}

async function makeRelease(options: StageOptions): Promise<StagedRelease> {
  const { commit, paths, signal } = options;
  await removeRemains(paths);
  const repository = await openRepository(paths.repository);
  const objects = new ObjectReader(repository.directory, signal);
  try {
    await fetchCommit(repository, options);
    const content = await repository.contentOf(commit);
    const listAll = async () => parseListing(await runGit(git.listTree(repository.directory, content), signal));
    return await materialise(options, { content, repository, tree: new CommitTree(objects, content), listAll, objects });
  } finally {
    await objects.close();
  }
}

interface Commit {
  /** Whose tree it is. */
  readonly content: CommitId;
  readonly repository: ReleaseRepository;
  readonly tree: CommitTree;
  /** Everything that is in it, which takes as long as the site is large. */
  readonly listAll: () => Promise<readonly ListedEntry[]>;
  readonly objects: ObjectReader;
}

async function materialise(
  { website, commit, paths, mayLackFolders, log, signal }: StageOptions,
  { content, repository, tree, listAll, objects }: Commit,
): Promise<StagedRelease> {
  const overlay = await readOverlay({ website, files: paths.files, tree, objects });
  if (overlay.needsBuild && content === commit) {
    // When it has been built it is fetched again, with what was built of it.
    await repository.forget(commit);
    throw new Fault("release.not-built", `commit ${commit} has to be built first`);
  }
  const base = await findBase(paths, overlay, repository);
  const changes =
    base === null
      ? additionsOf(await listAll())
      : await tree.changesSince(new CommitTree(objects, await repository.contentOf(base.commit)));
  const isMasked = overlayMask(overlay);
  const unmasked = {
    removals: changes.removals.filter((path) => !isMasked(path)),
    additions: changes.additions.filter(({ path }) => !isMasked(path)),
  };
  await ensureSpace(paths.releases, await spaceOf(unmasked.additions, objects));
  const { submodules } = changes;
  if (submodules.length > 0) log.warn({ website: website.id, commit, submodules }, "submodules are left out of the release");
  const temporary = `${paths.release(commit)}.tmp-${randomBytes(6).toString("hex")}`;
  try {
    if (base === null) await mkdir(temporary, { mode: 0o755 });
    else await copyOf(paths, base, temporary, signal);
    const writer = new TreeWriter(temporary);
    await writer.remove([...unmasked.removals, RELEASE_FILE]);
    const written = await writeEntries(writer, unmasked.additions, objects);
    const owner = { uid: website.uid, gid: website.uid };
    if (base === null) await layOver(writer, overlay, owner);
    const onBlocked = (fault: Fault): void => {
      if (!mayLackFolders) throw fault;
      log.warn({ website: website.id, commit, fault: reportFault(fault) }, "without a shared folder");
    };
    await ensureSharedFolders({ files: paths.files, folders: overlay.sharedFolders, owner, listAll, objects, onBlocked });
    const staged = {
      commit,
      docroot: overlay.docroot,
      environment: website.environment,
      overlayKey: overlay.key,
      stagedAt: timestampOf(nowMicros()),
      filesChanged: written + countRemoved(unmasked),
      ...overlay.deploy,
    };
    await writeFile(`${temporary}/${RELEASE_FILE}`, formatReleaseFile(staged), { flag: "wx", mode: 0o644 });
    await putInPlace(temporary, paths.release(commit));
    return staged;
  } catch (thrown) {
    await rm(temporary, { recursive: true, force: true });
    throw thrown;
  }
}

/** What an agent that was stopped while it staged has left. */
async function removeRemains(paths: SitePaths): Promise<void> {
  const names = await readdir(paths.releases);
  for (const name of names.filter((one) => /\.(tmp|old)-/.test(one)))
    await rm(`${paths.releases}/${name}`, { recursive: true, force: true });
}

async function fetchCommit(repository: ReleaseRepository, { website, commit, paths, source, packs, signal }: StageOptions): Promise<void> {
  if (await repository.has(commit)) return;
  const whole = new Set(await repository.list());
  const newest = (await listStaged(paths)).find((staged) => whole.has(staged.commit));
  const have = newest === undefined ? null : await repository.contentOf(newest.commit);
  await repository.keep(commit, await packs.fetchInto(repository.directory, { source, website: website.id, commit, have }, signal));
}

interface OverlayQuestion {
  readonly website: StageOptions["website"];
  readonly files: string;
  readonly tree: CommitTree;
  readonly objects: ObjectReader;
}

async function readOverlay({ website, files, tree, objects }: OverlayQuestion): Promise<Overlay> {
  const entry = await tree.find("Boxfile");
  const content = entry?.mode.startsWith("100") ? await objects.read(entry.object) : null;
  const { environment } = website;
  const { boxfile, problems } = await tree.consult((seen) => readBoxfile(content, { label: environment, tree: seen }));
  if (boxfile === null) throw new Fault("release.bad-boxfile", problems.map(describeBoxfileProblem).join("\n"));
  return tree.consult((seen) => planOverlay({ boxfile, environment, tree: seen, files }));
}

/** A release that has the same overlay, so that most of its files are the new one's: one with a spare, else the newest. */
async function findBase(paths: SitePaths, overlay: Overlay, repository: ReleaseRepository): Promise<StagedRelease | null> {
  let newest: StagedRelease | null = null;
  for (const staged of await listStaged(paths)) {
    if (staged.overlayKey !== overlay.key || !(await repository.has(staged.commit))) continue;
    if (await hasSpare(paths, staged)) return staged;
    newest ??= staged;
  }
  return newest;
}

/** How much is added at most; what the release shares with its base takes next to nothing. */
async function spaceOf(additions: readonly ListedEntry[], objects: ObjectReader): Promise<number> {
  const folders = new Set(additions.map(({ path }) => posix.dirname(path)));
  return spaceFor(await objects.sizes(additions.map(({ object }) => object)), folders.size);
}

async function layOver(writer: TreeWriter, overlay: Overlay, owner: { uid: number; gid: number }): Promise<void> {
  for (const link of overlay.links) await writer.writeLink(link.path, link.target, link.owner === "website" ? owner : null);
}

function countRemoved({ removals, additions }: Pick<TreeChanges, "removals" | "additions">): number {
  const added = new Set(additions.map(({ path }) => path));
  return removals.filter((path) => !added.has(path)).length;
}

/** A release is only ever replaced when the website has got another environment since; the two renames are microseconds apart. */
async function putInPlace(temporary: string, release: string): Promise<void> {
  const isTaken = await access(release).then(
    () => true,
    () => false,
  );
  if (!isTaken) return rename(temporary, release);
  const old = `${release}.old-${randomBytes(6).toString("hex")}`;
  await rename(release, old);
  await rename(temporary, release);
  await rm(old, { recursive: true, force: true });
}
