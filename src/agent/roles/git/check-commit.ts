import { isFault, renderFault } from "#base/fault.ts";
import { type BoxfileSurroundings, readBoxfile } from "#contract/boxfile.ts";
import { describeBoxfileProblem } from "#contract/boxfile-syntax.ts";
import type { CommitId } from "#contract/names.ts";
import { treeOf } from "#contract/repository-tree.ts";
import { linkVerdict } from "#contract/tree-link.ts";
import type { WorkLimits } from "#contract/work-settings.ts";
import { findBuild } from "./builds.ts";
import type { Repository } from "./repository.ts";
import { type ListedObject, listCommit, plain, refuseOversize, type TreeListing } from "./tree-listing.ts";

/** What is to be told of a commit: lines that refuse it, lines that only warn. */
export interface CommitCheck {
  readonly refusals: readonly string[];
  readonly warnings: readonly string[];
  /** Whether it has to be built before it is a release, and was not yet. */
  readonly needsBuild: boolean;
}

/** What a commit is held against beside itself. */
export interface CommitRules extends Pick<BoxfileSurroundings, "label"> {
  readonly limits: WorkLimits;
}

const LINKS_LIMIT = 10_000;
const LINK_LIMIT_BYTES = 4_096;
/** One more than a Boxfile may have, so that the reader of the Boxfile is the one that refuses. */
const BOXFILE_LIMIT_BYTES = 65_537;
const LINES_LIMIT = 10;

/** Checks all of a commit that has to be right before it may be deployed: names, submodules, size, links, the Boxfile. */
export async function checkCommit(repository: Repository, commit: CommitId, rules: CommitRules): Promise<CommitCheck> {
  const [named, tree] = await repository.describe([commit, `${commit}^{tree}`]);
  if (named?.type !== "commit" || tree === null || tree === undefined) return refused(`${commit} is not a commit → push a commit`);
  const listing = await listCommit(repository, commit).catch((thrown: unknown) => {
    if (isFault(thrown, "git.too-many-files")) return renderFault(thrown);
    throw thrown;
  });
  if (typeof listing === "string") return refused(...listing.split("\n"));
  const { entries } = listing;
  const wrong = [...badNames(listing), ...submodules(entries)];
  if (wrong.length > 0) return refused(...shorten(wrong, "more like these"));
  const oversize = refuseOversize(entries, rules.limits);
  if (oversize.length > 0) return refused(...oversize);
  const links = await checkLinks(repository, entries);
  const { problems, hasBuild } = await checkBoxfile(repository, entries, rules);
  const needsBuild = hasBuild && (await findBuild(repository, tree.id)) === null;
  return { refusals: [...links.refusals, ...problems], warnings: links.warnings, needsBuild };
}

function badNames({ entries, raw }: TreeListing): string[] {
  const control = entries
    .filter(({ path }) => /\p{Cc}/u.test(path))
    .map(({ path }) => `${plain(path)}: a control character in the name → rename it`);
  const isUtf8 = Buffer.from(raw.toString("utf8")).equals(raw);
  const foreign = isUtf8 ? [] : entries.filter(({ path }) => path.includes("\uFFFD"));
  return [...control, ...foreign.map(({ path }) => `${plain(path)}: the name is not UTF-8 → rename it`)];
}

function submodules(entries: readonly ListedObject[]): string[] {
  return entries
    .filter(({ mode }) => mode === "160000")
    .map(({ path }) => `${path}: submodules are not deployed → add the files themselves (git rm --cached ${path}, then git add ${path}/)`);
}

async function checkLinks(repository: Repository, entries: readonly ListedObject[]): Promise<Pick<CommitCheck, "refusals" | "warnings">> {
  const links = entries.filter(({ mode }) => mode === "120000");
  if (links.length > LINKS_LIMIT) return refused(`this commit has ${links.length} links → keep them below ${LINKS_LIMIT}`);
  const long = links
    .filter(({ sizeBytes }) => sizeBytes > LINK_LIMIT_BYTES)
    .map(({ path }) => `${path}: the link's target is too long → correct the link`);
  if (long.length > 0) return refused(...shorten(long, "more"));
  const targets = await repository.objects(
    links.map(({ object }) => object),
    links.length * LINK_LIMIT_BYTES,
  );
  const outside = links.flatMap(({ path }, index) => {
    const target = targets[index]?.toString("utf8") ?? "";
    return linkVerdict(path, target) === "outside"
      ? [`warning: ${path} is a link that leaves the repository (→ ${plain(target)}): left out on the servers`]
      : [];
  });
  return { refusals: [], warnings: shorten(outside, "more links leave the repository: left out on the servers", "warning: ") };
}

interface BoxfileCheck {
  readonly problems: readonly string[];
  readonly hasBuild: boolean;
}

async function checkBoxfile(repository: Repository, entries: readonly ListedObject[], rules: CommitRules): Promise<BoxfileCheck> {
  const entry = entries.find(({ path }) => path === "Boxfile" || path.startsWith("Boxfile/"));
  const tree = treeOf(entries);
  if (entry === undefined) {
    const near = entries.find(({ path }) => /^boxfile(\.ya?ml)?$/i.test(path));
    if (near !== undefined)
      return unusable(`${near.path}: the file's name is Boxfile, with a capital B and no ending → git mv ${near.path} Boxfile`);
  } else if (!entry.mode.startsWith("100")) return unusable("Boxfile: this is not a plain file → make it one");
  else if (entry.path !== "Boxfile") return unusable("Boxfile: this is a folder → make it a file");
  const content = entry === undefined ? null : await readStart(repository, entry);
  const { boxfile, problems } = readBoxfile(content, { label: rules.label, longest: rules.limits, tree });
  return { problems: problems.map(describeBoxfileProblem), hasBuild: (boxfile?.build.length ?? 0) > 0 };
}

function unusable(problem: string): BoxfileCheck {
  return { problems: [problem], hasBuild: false };
}

/** The Boxfile's bytes; of one that is far too long only as many as show it. */
async function readStart(repository: Repository, { object, sizeBytes }: ListedObject): Promise<Uint8Array> {
  if (sizeBytes > BOXFILE_LIMIT_BYTES) return new Uint8Array(BOXFILE_LIMIT_BYTES).fill(35);
  const [content] = await repository.objects([object], BOXFILE_LIMIT_BYTES);
  return content ?? new Uint8Array();
}

function refused(...refusals: string[]): CommitCheck {
  return { refusals, warnings: [], needsBuild: false };
}

function shorten(lines: readonly string[], rest: string, prefix = ""): string[] {
  return lines.length <= LINES_LIMIT ? [...lines] : [...lines.slice(0, LINES_LIMIT), `${prefix}${lines.length - LINES_LIMIT} ${rest}`];
}
