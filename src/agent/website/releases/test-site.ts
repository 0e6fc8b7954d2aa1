import { spawn } from "node:child_process";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { silentLog } from "#base/log.ts";
import { run } from "#base/run.ts";
import type { CommitId } from "#contract/names.ts";
import type { WebsiteOnServer } from "#contract/spec/website.ts";
import { type SiteRoots, sitePaths } from "../paths.ts";
import { git, startGit } from "./git.ts";
import type { PackQuestion } from "./pack-source.ts";
import { WebsiteReleases } from "./website-releases.ts";

const IDENTITY = { GIT_AUTHOR_NAME: "t", GIT_AUTHOR_EMAIL: "t@example.org", GIT_COMMITTER_NAME: "t", GIT_COMMITTER_EMAIL: "t@example.org" };

/** A site owner's repository and a server's directories, both real, in a scratch directory. */
export class TestSite {
  readonly scratch: string;
  readonly work: string;
  readonly roots: SiteRoots;
  readonly questions: PackQuestion[] = [];
  /** What was built of commits. */
  readonly builds = new Map<CommitId, CommitId>();
  website: WebsiteOnServer;

  private constructor(scratch: string) {
    this.scratch = scratch;
    this.work = join(scratch, "work");
    this.roots = { sites: join(scratch, "sites"), files: join(scratch, "files") };
    this.website = testWebsite({ uid: process.getuid?.() ?? 0 });
  }

  static async create(): Promise<TestSite> {
    const site = new TestSite(await mkdtemp(join(tmpdir(), "boxyard-stage-")));
    await mkdir(site.work);
    await site.git("init", "-q", "-b", "main");
    await mkdir(site.paths.releases, { recursive: true });
    await mkdir(site.paths.files, { recursive: true });
    return site;
  }

  get paths() {
    return sitePaths("s1", this.roots);
  }

  releases(): WebsiteReleases {
    return new WebsiteReleases({
      packs: { fetchInto: (repository, question, signal) => this.#fetchInto(repository, question, signal), close: () => undefined },
      log: silentLog(),
      carried: () => ({ git: { server: "git1", address: "127.0.0.1", port: 1 }, websites: [this.website] }),
      roots: this.roots,
      holds: join(this.scratch, "holds"),
    });
  }

  /** Runs a shell line in the working copy, commits all of it and gives the commit. */
  async commit(script: string): Promise<CommitId> {
    await run(["sh", "-ec", script], { cwd: this.work });
    await this.git("add", "-A");
    await this.git("commit", "-q", "--allow-empty", "-m", "change");
    return (await this.git("rev-parse", "HEAD")).trim();
  }

  async git(...args: string[]): Promise<string> {
    return (await run(["git", ...args], { cwd: this.work, environment: IDENTITY })).stdout;
  }

  remove(): Promise<void> {
    return rm(this.scratch, { recursive: true, force: true });
  }

  /** As the git server does it: what `commit` has and `have` has not. */
  async #fetchInto(repository: string, question: PackQuestion, signal: AbortSignal): Promise<CommitId> {
    this.questions.push(question);
    const content = this.builds.get(question.commit) ?? question.commit;
    const indexing = startGit(git.indexPack(repository), signal);
    indexing.stdout.resume();
    const packing = spawn("git", ["pack-objects", "--thin", "--revs", "--stdout", "-q"], {
      cwd: this.work,
      stdio: ["pipe", "pipe", "ignore"],
    });
    packing.stdout.pipe(indexing.stdin);
    packing.stdin.end(`${content}\n${question.have === null ? "" : `^${question.have}\n`}`);
    await indexing.ended;
    return content;
  }
}

/** A website as a spec says it. */
export function testWebsite(changes: Partial<WebsiteOnServer> = {}): WebsiteOnServer {
  return {
    id: "s1",
    uid: 20_001,
    environment: "production",
    branch: "main",
    domains: [
      { name: "www.example.org", kind: "main" },
      { name: "example.org", kind: "alias" },
      { name: "old.example.org", kind: "redirect" },
    ],
    databases: [{ name: "db7", host: "10.77.0.5", port: 3306, user: "db7", password: "pass-Word'\\7" }],
    memcached: [
      { host: "10.77.0.6", port: 11211 },
      { host: "10.77.0.7", port: 11211 },
    ],
    trustedProxies: ["10.77.0.3", "10.77.0.6", "10.77.0.7"],
    hashSalt: "salt-0123456789",
    processingUnits: 4,
    release: null,
    decision: 0,
    goodReleases: [],
    ...changes,
  };
}
