import { createHash } from "node:crypto";
import { posix } from "node:path";
import { Fault } from "#base/fault.ts";
import type { Boxfile } from "#contract/boxfile.ts";
import type { RepositoryTree } from "#contract/repository-tree.ts";
import { RELEASE_FILE, type StagedRelease } from "./release-file.ts";

/** A link that Boxyard lays over the commit's tree. */
interface OverlayLink {
  readonly path: string;
  readonly target: string;
  /** Links into shared folders are the website's own, because Apache follows a link only to what its owner owns. */
  readonly owner: "root" | "website";
}

/** What Boxyard lays over a commit to make it a release. */
export interface Overlay {
  /** The folder that the web server serves, from the release's root; "" is the root itself. */
  readonly docroot: string;
  readonly links: readonly OverlayLink[];
  /** Below the website's shared files; each has a link. */
  readonly sharedFolders: readonly string[];
  /** How the release is deployed. */
  readonly deploy: Pick<StagedRelease, "hooks" | "hookSeconds" | "snapshotsDatabases" | "holdSeconds">;
  /** Whether the commit is no release before it is built. */
  readonly needsBuild: boolean;
  /** Differs when any of this does that lies in the release's tree. */
  readonly key: string;
}

export interface OverlayQuestion {
  readonly boxfile: Boxfile;
  readonly environment: string;
  readonly tree: RepositoryTree;
  /** The website's directory of shared files. */
  readonly files: string;
}

/** What stands in a website's config directory. */
const SNIPPET_NAMES = ["drupal", "wordpress", "environment"] as const;

/** Which links make this commit a release of the website. */
export function planOverlay({ boxfile, environment, tree, files }: OverlayQuestion): Overlay {
  const sharedFolders = [...boxfile.sharedFolders, "private"];
  const links = [
    ...sharedFolders.map((path): OverlayLink => ({ path, target: `${files}/${path}`, owner: "website" })),
    ...boxfile.envSpecificFiles.map(({ path, targets }) => environmentLink(path, targets[environment], environment)),
    ...configLinks(tree),
    rootLink("tmp", "../../tmp"),
    ...(tree.kindOf("docroot") === null ? [rootLink("docroot", boxfile.docroot || ".")] : []),
  ];
  const key = createHash("sha256")
    .update(JSON.stringify([boxfile.docroot, links]))
    .digest("hex");
  const { hooks, hookSeconds, snapshotsDatabases, holdSeconds } = boxfile;
  const deploy = { hooks: { update: [...hooks.update], after: [...hooks.after] }, hookSeconds, snapshotsDatabases, holdSeconds };
  return { docroot: boxfile.docroot, links, sharedFolders, deploy, needsBuild: boxfile.build.length > 0, key };
}

/** Whether the path is Boxyard's own in a release, so that what the commit has there is not materialised. */
export function overlayMask({ links }: Overlay): (path: string) => boolean {
  const own = new Set([RELEASE_FILE, ...links.map((link) => link.path)]);
  return (path) => {
    for (let at = path; at !== "."; at = posix.dirname(at)) if (own.has(at)) return true;
    return false;
  };
}

function environmentLink(path: string, target: string | undefined, environment: string): OverlayLink {
  if (target === undefined)
    throw new Fault("release.no-file-for-environment", `the Boxfile has no file at ${path} for the environment ${environment}`);
  return rootLink(path, posix.relative(posix.dirname(path), target));
}

/** A repository may have a config directory of its own (Drupal's config/sync): then the snippets are linked into it. */
function configLinks(tree: RepositoryTree): OverlayLink[] {
  if (tree.kindOf("config") !== "folder") return [rootLink("config", "../../config")];
  return SNIPPET_NAMES.filter((name) => tree.kindOf(`config/${name}`) === null).map((name) =>
    rootLink(`config/${name}`, `../../../config/${name}`),
  );
}

function rootLink(path: string, target: string): OverlayLink {
  return { path, target, owner: "root" };
}
