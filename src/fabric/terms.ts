import { readFileSync } from "node:fs";
import { writeFileAtomic } from "#base/atomic-file.ts";
import { Fault } from "#base/fault.ts";

/**
 * The highest term of control that a server has heard of, over its process's restarts when it is told where to keep it: whoever led
 * before, and does not know yet that another control server leads, commands it no more.
 */
export class Terms {
  readonly #path: string | undefined;
  #highest: number;
  #writing: Promise<void> = Promise.resolve();

  constructor(path?: string) {
    this.#path = path;
    this.#highest = path === undefined ? 0 : readTerm(path);
  }

  /** Takes note of a later term; Fault "fabric.refused-term" for an earlier one. */
  refuseEarlier(term: number): void {
    if (term < this.#highest)
      throw new Fault("fabric.refused-term", "it is from a control service that leads no more: another one has taken over", {
        next: "ask again: the one that leads answers",
      });
    if (term === this.#highest) return;
    this.#highest = term;
    this.#keep();
  }

  /** Resolves when what is known is on disk. Where the disk takes nothing, memory has to do. */
  async settled(): Promise<void> {
    await this.#writing;
  }

  #keep(): void {
    const path = this.#path;
    if (path === undefined) return;
    this.#writing = this.#writing.then(() => writeFileAtomic(path, String(this.#highest), { mode: 0o600 })).catch(() => undefined);
  }
}

/** 0 where none was kept. */
function readTerm(path: string): number {
  try {
    const term = Number(readFileSync(path, "utf8"));
    return Number.isSafeInteger(term) ? term : 0;
  } catch {
    return 0;
  }
}
