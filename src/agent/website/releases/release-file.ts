import { readdir, readFile } from "node:fs/promises";
import { z } from "zod";
import { HookName } from "#contract/boxfile.ts";
import { HoldSeconds } from "#contract/boxfile-deploy.ts";
import { CommitId, EnvironmentLabel, Timestamp } from "#contract/names.ts";
import type { SitePaths } from "../paths.ts";

/** The file at the root of each release that says what it is. */
export const RELEASE_FILE = ".boxyard-release";

const Facts = z.object({
  environment: EnvironmentLabel,
  /** Equal keys: what Boxyard laid over the two commits is the same. */
  overlayKey: z.string(),
  stagedAt: Timestamp,
  filesChanged: z.int(),
  /** What a deployment runs on the shell server, as the commit's Boxfile says. */
  hooks: z.record(HookName, z.array(z.string())),
  hookSeconds: z.int().nullable().default(null),
  snapshotsDatabases: z.boolean().default(false),
  holdSeconds: HoldSeconds.nullable().default(null),
});

/** What a staged release says of itself. */
export type StagedRelease = z.infer<typeof Facts> & { readonly commit: CommitId; readonly docroot: string };

/** The file's text; Apache reads the first two lines at each request. */
export function formatReleaseFile({ commit, docroot, ...facts }: StagedRelease): string {
  return `${commit}\ndocroot=${docroot}\n${JSON.stringify(facts)}\n`;
}

/** The release staged in this directory, null when there is none or it is not whole. */
export async function readReleaseFile(directory: string): Promise<StagedRelease | null> {
  const text = await readFile(`${directory}/${RELEASE_FILE}`, "utf8").catch(() => "");
  const [, commit, docroot, json] = /^([0-9a-f]{40})\ndocroot=([^\n]*)\n(\{.*\})\n$/.exec(text) ?? [];
  if (commit === undefined || docroot === undefined || json === undefined) return null;
  const facts = Facts.safeParse(JSON.parse(json));
  return facts.success ? { commit, docroot, ...facts.data } : null;
}

/** All releases that are staged, newest first. */
export async function listStaged(paths: SitePaths): Promise<StagedRelease[]> {
  const names = await readdir(paths.releases).catch(() => []);
  const commits = names.filter((name) => CommitId.safeParse(name).success);
  const staged = await Promise.all(commits.map((commit) => readReleaseFile(paths.release(commit))));
  return staged.filter((one) => one !== null).sort((a, b) => (a.stagedAt < b.stagedAt ? 1 : -1));
}
