import { readFile } from "node:fs/promises";
import { writeFileAtomic } from "#base/atomic-file.ts";
import { nowMicros } from "#base/clock.ts";
import { Fault } from "#base/fault.ts";

/**
 * Remembers on disk which requests were begun, until they expire: a process that was restarted meanwhile must not carry
 * out again what does harm when it is done twice.
 */
export class Once {
  readonly #path: string;
  #untilOf: Promise<Map<string, number>> | undefined;
  #writing: Promise<void> = Promise.resolve();

  constructor(path: string) {
    this.#path = path;
  }

  /**
   * Resolves when the id is safe on disk; Fault "fabric.refused-replayed" when it was there already. Where the disk takes
   * nothing, memory has to do: a server whose disk is full must still be operable.
   */
  async take(id: string, untilMicros: number): Promise<void> {
    this.#untilOf ??= this.#load();
    const untilOf = await this.#untilOf;
    if (untilOf.has(id)) throw new Fault("fabric.refused-replayed", `request ${id} was here before`);
    untilOf.set(id, untilMicros);
    const now = nowMicros();
    for (const [one, until] of untilOf) if (until < now) untilOf.delete(one);
    this.#writing = this.#writing
      .then(() => writeFileAtomic(this.#path, JSON.stringify([...untilOf]), { mode: 0o600 }))
      .catch(() => undefined);
    await this.#writing;
  }

  async #load(): Promise<Map<string, number>> {
    try {
      return new Map(JSON.parse(await readFile(this.#path, "utf8")) as [string, number][]);
    } catch {
      return new Map();
    }
  }
}
