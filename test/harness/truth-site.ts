import { setTimeout as sleep } from "node:timers/promises";
import type { CommitId } from "#contract/names.ts";
import { createSite, removeSite, type Site } from "./site.ts";
import { commitTruth, findLies, type Reading, Visitors } from "./truth.ts";
import { Visitor } from "./visitor.ts";
import { findDoublesOn, TAKE_FILES, TAKE_FOLDER, type Write, type WriteKind, Writers } from "./writers.ts";
import { deployCommit, eventually, listDeployments } from "./yard.ts";

/** What visitors met, and what of it they should not have. */
export interface Visited {
  readonly readings: readonly Reading[];
  readonly lies: string[];
  readonly writes: readonly Write[];
  /** POSTs without a whole answer; without faults there are none. */
  readonly failedWrites: string[];
  /** What became of POSTs and should not have, be there faults or not. */
  readonly doubles: string[];
}

/** A website on the test yard with releases `one` and `two`, which tell the truth about themselves. */
export class TruthSite {
  readonly site: Site;
  readonly versions: ReadonlyMap<string, CommitId>;
  readonly #domain: string;

  private constructor(domain: string, site: Site, versions: ReadonlyMap<string, CommitId>) {
    this.#domain = domain;
    this.site = site;
    this.versions = versions;
  }

  static async create(domain: string): Promise<TruthSite> {
    const site = await createSite(domain);
    const versions = new Map<string, CommitId>();
    await site.repository.write({ Boxfile: `version: 3\nshared_folders: [${TAKE_FOLDER}]\n`, ...TAKE_FILES });
    for (const version of ["one", "two"]) {
      versions.set(version, await commitTruth(site.repository, version));
      const pushed = await site.repository.push(site.website.gitUrl);
      if (pushed.exitCode !== 0) throw new Error(pushed.stderr);
    }
    return new TruthSite(domain, site, versions);
  }

  remove(): Promise<void> {
    return removeSite(this.site);
  }

  deploy(version: string): Promise<void> {
    return deployCommit(this.site.website.id, this.versions.get(version) ?? "");
  }

  /** Deploys them in turn. */
  async alternate(times: number): Promise<void> {
    for (let nth = 0; nth < times; nth++) await this.deploy(nth % 2 === 0 ? "one" : "two");
  }

  /** What visitors who read and send all the time met while the work was done. */
  async visitedWhile(work: () => Promise<void>, kinds: readonly WriteKind[] = ["form", "upload"]): Promise<Visited> {
    const visitors = await Visitors.start(this.#domain);
    const writers = await Writers.start(this.#domain, kinds);
    try {
      await sleep(300);
      await work();
      await sleep(300);
    } finally {
      await Promise.all([visitors.stop(), writers.stop()]);
    }
    const [readings, writes] = [visitors.take(), writers.take()];
    const { id } = this.site.website;
    const deployments = await listDeployments(id);
    const failedWrites = writes.flatMap(({ kind, fault }) => (fault === null ? [] : [`${kind}: ${fault}`]));
    const lies = findLies(readings, { deployments, versions: this.versions });
    return { readings, lies, writes, failedWrites, doubles: await findDoublesOn("c1b1", id, writes) };
  }

  /** Resolves when visitors are sent to the box. */
  async isVisited(box: string): Promise<void> {
    const visitor = new Visitor(this.#domain);
    await eventually(`visitors on ${box}`, async () => (await visitor.get(`/?${Date.now()}`)).text.endsWith(box));
  }
}
