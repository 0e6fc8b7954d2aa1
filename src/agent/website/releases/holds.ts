import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { CommitId, WebsiteId } from "#contract/names.ts";

/**
 * A switch that was asked for stands against specs of earlier decisions for this long: control writes the new release into
 * the spec only when all servers serve it (within a second), and what it wrote before may come later still.
 * Until then a convergence turn must not take the switch back. Not longer:
 * a server that missed the switch back serves the withdrawn release until then.
 */
const HOLD_MS = 30_000;

/** Gone after a boot, when nothing is served before control has been heard. */
const DIRECTORY = "/run/boxyard/holds";

const Hold = z.object({
  release: CommitId.nullable(),
  /** The hold ends when the spec tells of this decision or a later one. */
  decision: z.int(),
  /** By the kernel's clock that never jumps, which is one for all of its processes. */
  untilMs: z.number(),
});
type Hold = z.infer<typeof Hold>;

/**
 * The switches that specs do not tell of yet. They outlive the agent: one that is started anew in that moment knows the
 * spec on its disk alone, and would take back what it had been asked for.
 */
export class Holds {
  readonly #directory: string;
  readonly #holds: Map<WebsiteId, Hold>;

  constructor(directory = DIRECTORY) {
    this.#directory = directory;
    this.#holds = readHolds(directory);
  }

  /** The release that is to stay live although the spec, which knows of this decision, may say otherwise; undefined when the spec counts. */
  find({ id, decision }: { readonly id: WebsiteId; readonly decision: number }): CommitId | null | undefined {
    const hold = this.#holds.get(id);
    if (hold === undefined) return undefined;
    if (decision < hold.decision && nowMs() < hold.untilMs) return hold.release;
    this.#holds.delete(id);
    this.#remove(id);
    return undefined;
  }

  /** Counts in this process whatever happens, and in the next one if there is room to write it down. */
  add(id: WebsiteId, { release, decision }: Pick<Hold, "release" | "decision">): void {
    const hold = { release, decision, untilMs: nowMs() + HOLD_MS };
    this.#holds.set(id, hold);
    // An older one must not be taken for this one.
    orNull(() => this.#write(id, hold)) ?? this.#remove(id);
  }

  #write(id: WebsiteId, hold: Hold): true {
    const path = join(this.#directory, id);
    mkdirSync(this.#directory, { recursive: true, mode: 0o700 });
    writeFileSync(`${path}.new`, JSON.stringify(hold));
    renameSync(`${path}.new`, path);
    return true;
  }

  #remove(id: WebsiteId): void {
    orNull(() => rmSync(join(this.#directory, id), { force: true }));
  }
}

function readHolds(directory: string): Map<WebsiteId, Hold> {
  const holds = new Map<WebsiteId, Hold>();
  for (const name of orNull(() => readdirSync(directory)) ?? []) {
    const hold = orNull(() => Hold.parse(JSON.parse(readFileSync(join(directory, name), "utf8"))));
    const id = WebsiteId.safeParse(name);
    if (id.success && hold !== null) holds.set(id.data, hold);
  }
  return holds;
}

function nowMs(): number {
  return Number(process.hrtime.bigint() / 1_000_000n);
}

function orNull<T>(act: () => T): T | null {
  try {
    return act();
  } catch {
    return null;
  }
}
