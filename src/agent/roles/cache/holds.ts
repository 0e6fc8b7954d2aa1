import { mkdir, readdir, readFile, rename, rm, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { writeFileAtomic } from "#base/atomic-file.ts";
import { microsOf, nowMicros } from "#base/clock.ts";
import { HoldSeconds } from "#contract/boxfile-deploy.ts";
import { DomainName } from "#contract/domain.ts";
import { Timestamp, type WebsiteId } from "#contract/names.ts";

/** Where Varnish looks; its user must reach it. */
export const HOLDS = "/var/lib/boxyard-holds";

/** Powers of two that add up to any length of a hold, the largest first. */
export const HOLD_STEPS = [32, 16, 8, 4, 2, 1] as const;
export const LONGEST_HOLD_SECONDS = HOLD_STEPS.reduce((sum, step) => sum + step, 0);
/** What is there while a domain is held. */
export const HELD = "held";

const Hold = z.object({ domains: z.array(DomainName), seconds: HoldSeconds, until: Timestamp });
type Hold = z.infer<typeof Hold>;

/** setTimeout takes no longer ones. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;

/**
 * The websites whose visitors wait. Varnish asks the file system, because no other state of it can be changed from outside
 * without loading its VCL anew: `domains/<domain>/held` is there as long as visitors wait, and the seconds that each may wait
 * are the sum of the numbers beside it.
 */
export class Holds {
  readonly #directory: string;
  readonly #timers = new Map<WebsiteId, NodeJS.Timeout>();
  /** One change at a time. */
  #last: Promise<void> = Promise.resolve();

  constructor(directory = HOLDS) {
    this.#directory = directory;
  }

  /** Takes care of holds that an earlier process began, until their time is over; a domain of which nobody knows why is let go. */
  async start(): Promise<void> {
    const domains = join(this.#directory, "domains");
    await mkdir(domains, { recursive: true, mode: 0o755 });
    const held = new Set<string>();
    for (const website of await this.#heldWebsites()) {
      const hold = await this.#read(website);
      if (hold === null) await this.letGo(website);
      else this.#endAt(website, hold.until);
      for (const domain of hold?.domains ?? []) held.add(domain);
    }
    for (const domain of await readdir(domains)) if (!held.has(domain)) await rm(join(domains, domain), { force: true });
  }

  hold(website: WebsiteId, hold: Hold): Promise<void> {
    return this.#inTurn(() => this.#hold(website, hold));
  }

  letGo(website: WebsiteId): Promise<void> {
    return this.#inTurn(() => this.#letGo(website));
  }

  stop(): void {
    for (const timer of this.#timers.values()) clearTimeout(timer);
  }

  async #hold(website: WebsiteId, hold: Hold): Promise<void> {
    const length = await this.#ensureLength(hold.seconds);
    const before = await this.#read(website);
    // First of all what tells which domains are to be let go.
    const domains = [...new Set([...(before?.domains ?? []), ...hold.domains])];
    await writeFileAtomic(this.#record(website), JSON.stringify({ ...hold, domains }));
    await this.#takeOver(website, hold.domains);
    for (const domain of hold.domains) await replaceLink(join(this.#directory, "domains", domain), join("..", length));
    this.#endAt(website, hold.until);
  }

  /** A domain is let go with the website that has it now, not with one that had it before. */
  async #takeOver(website: WebsiteId, domains: readonly string[]): Promise<void> {
    for (const other of await this.#heldWebsites()) {
      const hold = other === website ? null : await this.#read(other);
      const kept = hold?.domains.filter((domain) => !domains.includes(domain)) ?? [];
      if (hold !== null && kept.length < hold.domains.length)
        await writeFileAtomic(this.#record(other), JSON.stringify({ ...hold, domains: kept }));
    }
  }

  async #letGo(website: WebsiteId): Promise<void> {
    clearTimeout(this.#timers.get(website));
    this.#timers.delete(website);
    const hold = await this.#read(website);
    for (const domain of hold?.domains ?? []) await rm(join(this.#directory, "domains", domain), { force: true });
    await rm(this.#record(website), { force: true });
  }

  #inTurn(work: () => Promise<void>): Promise<void> {
    const mine = this.#last.then(work);
    this.#last = mine.catch(() => undefined);
    return mine;
  }

  async #heldWebsites(): Promise<WebsiteId[]> {
    return (await readdir(this.#directory)).flatMap((name) => /^(s\d+)\.json$/.exec(name)?.[1] ?? []);
  }

  #endAt(website: WebsiteId, until: Timestamp): void {
    clearTimeout(this.#timers.get(website));
    const leftMs = Math.max(0, (microsOf(until) - nowMicros()) / 1_000);
    const end = (): void => void this.letGo(website).catch(() => this.#timers.set(website, setTimeout(end, 1_000)));
    this.#timers.set(website, setTimeout(end, Math.min(leftMs, LONGEST_TIMER_MS)));
  }

  /** The directory that says for how long requests may wait. */
  async #ensureLength(seconds: number): Promise<string> {
    const name = `seconds-${seconds}`;
    const path = join(this.#directory, name);
    await mkdir(path, { recursive: true, mode: 0o755 });
    // What says that it is held at all is the last to be there.
    for (const entry of [...HOLD_STEPS.filter((step) => (seconds & step) !== 0), HELD]) await writeFile(join(path, String(entry)), "");
    return name;
  }

  async #read(website: WebsiteId): Promise<Hold | null> {
    try {
      return Hold.parse(JSON.parse(await readFile(this.#record(website), "utf8")));
    } catch {
      // There is none, or it cannot be read any more.
      return null;
    }
  }

  #record(website: WebsiteId): string {
    return join(this.#directory, `${website}.json`);
  }
}

async function replaceLink(path: string, target: string): Promise<void> {
  const temporary = `${path}.new`;
  await rm(temporary, { force: true });
  await symlink(target, temporary);
  await rename(temporary, path);
}
