import { timestampOf } from "#base/clock.ts";
import { Fault, isFault, reportFault } from "#base/fault.ts";
import { Locks } from "#base/locks.ts";
import type { Log } from "#base/log.ts";
import type { CommitId, WebsiteId } from "#contract/names.ts";
import type { GitSource, WebsiteOnServer } from "#contract/spec/website.ts";
import { type SitePaths, type SiteRoots, sitePaths } from "../paths.ts";
import { Holds } from "./holds.ts";
import type { PackSource } from "./pack-source.ts";
import { readReleaseFile, type StagedRelease } from "./release-file.ts";
import { findSurplus, removeReleases } from "./retention.ts";
import { hasSpare, makeSpare } from "./spare.ts";
import { stageRelease } from "./stage.ts";
import { readLive, switchRelease, withdrawRelease } from "./switch.ts";

export interface WebsiteReleasesOptions {
  readonly packs: Pick<PackSource, "fetchInto" | "close">;
  readonly log: Log;
  /** What the server carries now; null before the first spec. */
  readonly carried: () => { readonly git: GitSource; readonly websites: readonly WebsiteOnServer[] } | null;
  readonly roots?: SiteRoots;
  /** Where the agent after this one finds the switches that the spec does not tell of yet; the server's own place by default. */
  readonly holds?: string;
  /** Told of each release that was staged and is not live yet. */
  readonly onStaged?: (website: WebsiteOnServer, staged: StagedRelease, signal: AbortSignal) => Promise<void>;
  /** Told at once when another release is live, or is expected to be. */
  readonly onSwitched?: () => void;
}

/** The releases of all websites that a server carries: one at a time is staged for each. */
export class WebsiteReleases {
  readonly #options: WebsiteReleasesOptions;
  readonly #holds: Holds;
  /** The release of which no spare could be made. */
  readonly #withoutSpare = new Map<WebsiteId, CommitId>();
  /** What may be switched to next, however old it is. */
  readonly #lastAsked = new Map<WebsiteId, CommitId>();
  /** One piece of work at a time on a website. */
  readonly #locks = new Locks();

  constructor(options: WebsiteReleasesOptions) {
    this.#options = options;
    this.#holds = new Holds(options.holds);
  }

  paths(id: WebsiteId): SitePaths {
    return sitePaths(id, this.#options.roots);
  }

  /** Fault "release.stage-failed" also when the website has put something in a shared folder's place. */
  stage(id: WebsiteId, commit: CommitId, signal: AbortSignal): Promise<StagedRelease> {
    return this.#stage(id, commit, { mayLackFolders: false, signal });
  }

  async #stage(
    id: WebsiteId,
    commit: CommitId,
    { mayLackFolders, signal }: { mayLackFolders: boolean; signal: AbortSignal },
  ): Promise<StagedRelease> {
    this.#lastAsked.set(id, commit);
    return this.#locks.hold(id, async () => {
      const { git: source, website } = this.#find(id);
      const { packs, log } = this.#options;
      const staged = await stageRelease({ website, commit, paths: this.paths(id), source, packs, mayLackFolders, log, signal });
      if (this.live(id) !== commit) await this.#options.onStaged?.(website, staged, signal);
      return staged;
    });
  }

  async switchTo(
    { website, release, decision }: { website: WebsiteId; release: CommitId; decision: number },
    when: { at: string; latestMs: number },
    signal: AbortSignal,
  ): Promise<{ switchedAt: string; previous: CommitId | null; waitedMs: number | null }> {
    this.#find(website);
    const onSwitched = (): void => this.#hold(website, release, decision);
    const { switchedAtMicros, ...rest } = await switchRelease({ paths: this.paths(website), release, when, signal, onSwitched });
    return { switchedAt: timestampOf(switchedAtMicros), ...rest };
  }

  async withdraw(id: WebsiteId, decision: number): Promise<CommitId | null> {
    this.#find(id);
    const previous = await withdrawRelease(this.paths(id));
    this.#hold(id, null, decision);
    return previous;
  }

  /** The live release. */
  live(id: WebsiteId): CommitId | null {
    return readLive(this.paths(id));
  }

  /** The live release of each website. */
  liveOfAll(): Record<WebsiteId, CommitId | null> {
    const websites = this.#options.carried()?.websites ?? [];
    return Object.fromEntries(websites.map(({ id }) => [id, this.live(id)] as const));
  }

  /** The release that the website should serve now: the spec's, or that of a deployment under way. */
  expected(website: Pick<WebsiteOnServer, "id" | "release" | "decision">): CommitId | null {
    const held = this.#holds.find(website);
    return held === undefined ? website.release : held;
  }

  /** Makes the expected release live, staging it when it is not. */
  async converge(website: WebsiteOnServer, signal: AbortSignal): Promise<void> {
    const release = this.expected(website);
    // A deployment may switch at any moment, also between two steps of this one; the next turn sees what holds then.
    const isStillWanted = (): boolean => this.expected(website) === release;
    const onSwitched = (): void => this.#options.onSwitched?.();
    if (release === null) {
      await withdrawRelease(this.paths(website.id), isStillWanted);
      return onSwitched();
    }
    // What a website has done to its own files keeps no server from being as it should.
    await this.#stage(website.id, release, { mayLackFolders: true, signal });
    const when = { when: null, isStillWanted, onSwitched };
    await switchRelease({ paths: this.paths(website.id), release, signal, ...when }).catch((thrown: unknown) => {
      if (!isFault(thrown, "release.overtaken")) throw thrown;
    });
  }

  /** Releases that nobody needs: those that never went live, and those that did long ago. */
  surplus({ id, goodReleases }: Pick<WebsiteOnServer, "id" | "goodReleases">): Promise<CommitId[]> {
    const asked = this.#lastAsked.get(id);
    return findSurplus(this.paths(id), asked === undefined ? goodReleases : [...goodReleases, asked]);
  }

  async removeSurplus(website: Pick<WebsiteOnServer, "id" | "goodReleases">, signal: AbortSignal): Promise<void> {
    await this.#locks.hold(website.id, async () => removeReleases(this.paths(website.id), await this.surplus(website), signal));
  }

  /** Whether the next release could be made from a copy of the live one that is there already. */
  async hasSpare(id: WebsiteId): Promise<boolean> {
    const live = await this.#stagedLive(id);
    return live === null || live.commit === this.#withoutSpare.get(id) || hasSpare(this.paths(id), live);
  }

  /** Tries it once for each release: without it the next one takes longer, and that is all. */
  async makeSpare(id: WebsiteId, signal: AbortSignal): Promise<void> {
    await this.#locks.hold(id, async () => {
      const live = await this.#stagedLive(id);
      if (live === null) return;
      await makeSpare(this.paths(id), live, signal).catch((thrown: unknown) => {
        this.#withoutSpare.set(id, live.commit);
        this.#options.log.warn({ website: id, release: live.commit, fault: reportFault(thrown) }, "no spare release");
      });
    });
  }

  async #stagedLive(id: WebsiteId): Promise<StagedRelease | null> {
    const live = this.live(id);
    return live === null ? null : readReleaseFile(this.paths(id).release(live));
  }

  close(): void {
    this.#options.packs.close();
  }

  #hold(id: WebsiteId, release: CommitId | null, decision: number): void {
    this.#holds.add(id, { release, decision });
    this.#options.onSwitched?.();
  }

  #find(id: WebsiteId): { git: GitSource; website: WebsiteOnServer } {
    const carried = this.#options.carried();
    const website = carried?.websites.find((one) => one.id === id);
    if (carried === null || website === undefined) throw new Fault("release.unknown-website", `this server does not carry website ${id}`);
    return { git: carried.git, website };
  }
}
