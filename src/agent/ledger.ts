import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { writeFileAtomic } from "#base/atomic-file.ts";
import { ServerSpec } from "#contract/spec/server.ts";

const DIRECTORY = "/var/lib/boxyard/agent";

/** What an agent remembers across its own restarts and the control plane's absence: the last spec that it verified. */
export class Ledger {
  readonly #path: string;

  constructor(directory = DIRECTORY) {
    this.#path = join(directory, "spec.json");
  }

  /** The spec as last stored, or null when there is none that can be read. */
  async readSpec(): Promise<ServerSpec | null> {
    const text = await readFile(this.#path, "utf8").catch(() => null);
    if (text === null) return null;
    return parseSpec(text);
  }

  /** Stores a spec; readable to root only, since it holds secrets. */
  async writeSpec(spec: ServerSpec): Promise<void> {
    await writeFileAtomic(this.#path, JSON.stringify(spec), { mode: 0o600 });
  }
}

function parseSpec(text: string): ServerSpec | null {
  try {
    return ServerSpec.parse(JSON.parse(text));
  } catch {
    // Cut short or of an older form: the bus has a whole one.
    return null;
  }
}
