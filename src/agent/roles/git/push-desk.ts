import { type Clock, systemClock, timestamp } from "#base/clock.ts";
import { Fault, renderFault, reportFault } from "#base/fault.ts";
import { Locks } from "#base/locks.ts";
import type { Log } from "#base/log.ts";
import { type Loop, loop } from "#base/loop.ts";
import type { CommitId, ServerName, WebsiteId } from "#contract/names.ts";
import type { Push } from "#contract/push.ts";
import type { GitSpec } from "#contract/spec/git.ts";
import type { AgentFabric } from "#fabric/fabric.ts";
import { type CommitRules, checkCommit } from "./check-commit.ts";
import { DeploymentNews } from "./deployment-news.ts";
import { branchRef, NO_COMMIT } from "./git-command.ts";
import type { PushRecord, PushRecords } from "./push-records.ts";
import { tellStory, type Verdict } from "./push-story.ts";
import type { Repository } from "./repository.ts";

export type GitWebsite = GitSpec["websites"][number];

/** A ref that a pusher wants to move; NO_COMMIT stands for none. */
export interface RefRequest {
  readonly ref: string;
  readonly old: CommitId;
  readonly new: CommitId;
}

interface CheckedRequest extends RefRequest {
  readonly needsBuild: boolean;
}

export interface DeskOptions {
  readonly fabric: AgentFabric;
  readonly log: Log;
  readonly server: ServerName;
  readonly records: PushRecords;
  readonly websites: () => readonly GitWebsite[];
  readonly repositoryOf: (website: GitWebsite) => Repository;
  readonly rulesFor: (website: GitWebsite) => CommitRules;
  /** Told of a commit that servers are about to ask for, and of the one that they most likely have. */
  readonly onExpected?: (website: GitWebsite, commit: CommitId, previous: CommitId | null) => void;
  /** Whether another control server takes over when the one that leads is gone. */
  readonly maybeTakenOver: () => boolean;
  /** By which pushers wait for news of their push. */
  readonly clock?: Clock;
}

interface Outcome {
  readonly website: WebsiteId;
  readonly pushId: string;
  readonly isLive: boolean;
  readonly reason: string | null;
}

const PUBLISH_EVERY_MS = 1_000;
const WAITING_LIMIT = 100;

/** Takes pushes: checks them, records them, moves the branch, hands them to control, and tells the pusher how it goes. */
export class PushDesk {
  readonly #options: DeskOptions;
  readonly #clock: Clock;
  readonly #news: DeploymentNews;
  readonly #locks = new Locks();
  readonly #publishing: Loop;
  readonly #stopping = new AbortController();
  /** Pushes whose branch has not moved yet, so that they must not be published. */
  readonly #unmoved = new Set<string>();

  constructor(options: DeskOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#news = new DeploymentNews(options.fabric, this.#clock);
    const onFault = (thrown: unknown): void => options.log.warn({ fault: reportFault(thrown) }, "pushes not published yet");
    this.#publishing = loop({ everyMs: PUBLISH_EVERY_MS, work: (signal) => this.#publishAll(signal), onFault });
  }

  /** Goes on with what an earlier process accepted, and begins to take pushes. */
  async start(): Promise<void> {
    const broken = await this.#options.records.load();
    if (broken.length > 0) this.#options.log.error({ broken }, "push records cannot be read");
    for (const record of this.#options.records.unpublished()) await this.#recover(record);
    this.#news.start();
    this.#publishing.start();
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#publishing.stop();
    await this.#news.stop();
  }

  /** Takes one ref of a push and stays until its deployment has ended; what was accepted goes on without the pusher. */
  async take(id: WebsiteId, request: RefRequest, say: (line: string) => void): Promise<Verdict> {
    try {
      const website = this.#options.websites().find((one) => one.id === id);
      if (website === undefined) return refuse(`there is no website ${id} any more`);
      const wrong = refuseRef(website, request);
      if (wrong !== null) return refuse(wrong);
      const check = await checkCommit(this.#options.repositoryOf(website), request.new, this.#options.rulesFor(website));
      for (const line of [...check.warnings, ...check.refusals]) say(line);
      if (check.refusals.length > 0) return refuse("nothing changed: correct what is said above and push again");
      return await this.#accept(website, { ...request, needsBuild: check.needsBuild }, say);
    } catch (thrown) {
      this.#options.log.error({ website: id, fault: reportFault(thrown) }, "push failed");
      for (const line of renderFault(thrown).split("\n")) say(line);
      return refuse("the git server has a fault: try again");
    }
  }

  /** Notes how a push ended; one that did not go live gives its branch back, unless the branch has moved on. */
  async settle({ website: id, pushId, isLive, reason }: Outcome): Promise<{ branch: CommitId | null }> {
    const { records } = this.#options;
    return this.#locks.hold(id, async () => {
      const record = records.find(pushId);
      if (record === null || record.push.website !== id) throw new Fault("git.unknown-push", `there is no push ${pushId} of ${id}`);
      const website = this.#options.websites().find((one) => one.id === id);
      if (website !== undefined && !isLive) await this.#giveBack(website, record);
      if (record.outcome === null) await records.write({ ...record, outcome: { isLive, reason, at: timestamp() } });
      this.#news.tell(pushId, { kind: "settled", isLive, reason });
      return { branch: website === undefined ? null : await this.#options.repositoryOf(website).readBranch(record.push.branch) };
    });
  }

  async #accept(website: GitWebsite, request: CheckedRequest, say: (line: string) => void): Promise<Verdict> {
    if (!request.needsBuild) this.#options.onExpected?.(website, request.new, request.old === NO_COMMIT ? null : request.old);
    const push = await this.#locks.hold(website.id, () => this.#record(website, request));
    if (push === null) return refuse(`${website.branch} has moved meanwhile: git fetch, then push again`);
    const news = this.#news.open(push.id);
    this.#unmoved.delete(push.id);
    this.#publishing.nudge();
    try {
      const maybeTakenOver = this.#options.maybeTakenOver();
      return await tellStory({ push, news, say, maybeTakenOver, clock: this.#clock, signal: this.#stopping.signal });
    } finally {
      this.#news.close(push.id);
    }
  }

  /** Records the push, then moves the branch; null, and nothing left behind, when the branch is not where the pusher saw it. */
  async #record(website: GitWebsite, request: CheckedRequest): Promise<Push | null> {
    const { records, server } = this.#options;
    const waiting = records.of(website.id).filter(({ outcome }) => outcome === null).length;
    if (waiting >= WAITING_LIMIT)
      throw new Fault("git.too-many-pushes", `${waiting} pushes of ${website.id} wait for control`, { next: "wait until control is back" });
    const repository = this.#options.repositoryOf(website);
    const previous = await repository.readBranch(website.branch);
    if ((previous ?? NO_COMMIT) !== request.old) return null;
    const id = records.newId(website.id);
    const { new: commit, needsBuild } = request;
    const push = { id, website: website.id, branch: website.branch, commit, previous, acceptedAt: timestamp(), server, needsBuild };
    this.#unmoved.add(id);
    await records.write({ push, publishedAt: null, outcome: null });
    const hasMoved = await repository.moveRef(branchRef(website.branch), previous, request.new).catch(async (thrown: unknown) => {
      await records.remove(id);
      throw thrown;
    });
    if (!hasMoved) await records.remove(id);
    return hasMoved ? push : null;
  }

  async #giveBack(website: GitWebsite, record: PushRecord): Promise<void> {
    const { push } = record;
    const repository = this.#options.repositoryOf(website);
    const ref = branchRef(push.branch);
    // A push that was accepted later and points at the same commit owns the branch now.
    const isOwnedByLater = this.#options.records
      .of(website.id)
      .some((other) => other.push.acceptedAt > push.acceptedAt && other.push.commit === push.commit && other.outcome?.isLive !== false);
    if (!isOwnedByLater) await repository.moveRef(ref, push.commit, this.#options.records.restorePoint(record));
  }

  /** A push whose record an earlier process left: its branch may or may not have moved before that process ended. */
  async #recover({ push }: PushRecord): Promise<void> {
    const { records, log } = this.#options;
    const website = this.#options.websites().find((one) => one.id === push.website);
    const isFollowed = records
      .of(push.website)
      .some((other) => other.push.previous === push.commit && other.push.acceptedAt > push.acceptedAt);
    if (website !== undefined && (isFollowed || (await this.#hasBranchAt(website, push)))) return;
    log.warn({ push: push.id }, "push dropped: its branch was never moved");
    await records.remove(push.id);
  }

  async #hasBranchAt(website: GitWebsite, { branch, previous, commit }: Push): Promise<boolean> {
    const repository = this.#options.repositoryOf(website);
    return (await repository.readBranch(branch)) === commit || repository.moveRef(branchRef(branch), previous, commit);
  }

  async #publishAll(signal: AbortSignal): Promise<void> {
    const { records, fabric } = this.#options;
    for (const record of records.unpublished()) {
      signal.throwIfAborted();
      if (this.#unmoved.has(record.push.id)) continue;
      if (!fabric.isConnected() || !this.#news.isFollowing()) throw new Fault("git.no-broker", "the broker is out of reach");
      await fabric.publishPush(record.push);
      await this.#locks.hold(record.push.website, async () => {
        // Its outcome may have come already.
        const current = records.find(record.push.id);
        if (current !== null) await records.write({ ...current, publishedAt: timestamp() });
      });
    }
  }
}

function refuseRef({ id, branch }: GitWebsite, request: RefRequest): string | null {
  if (request.ref !== branchRef(branch)) return `${id} deploys from ${branch}: this name is in its way, choose another`;
  return request.new === NO_COMMIT ? `${id} deploys from ${branch}: it cannot be deleted` : null;
}

function refuse(reason: string): Verdict {
  return { isOk: false, reason };
}
