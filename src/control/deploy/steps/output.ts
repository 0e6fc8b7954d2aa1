import type { ServerName } from "#contract/names.ts";
import { note, type Turn } from "../turn.ts";

const MOST_CHARACTERS = 400;
/** Whoever reads that a command failed reads at least so many of its lines. */
const LAST_LINES = 20;

/** What a command says on its server, for a person: its first lines as they come, and, when it has failed, its last ones. */
export class Output {
  readonly #turn: Turn;
  readonly #most: number;
  #told = 0;
  #untold = 0;
  /** The last of those that were not told. */
  #last: string[] = [];

  constructor(turn: Turn, most: number) {
    this.#turn = turn;
    this.#most = most;
  }

  hear(lines: readonly string[], server: ServerName): void {
    for (const line of lines) {
      if (this.#told < this.#most) {
        this.#told++;
        this.#tell(line, server);
      } else {
        this.#untold++;
        this.#last = [...this.#last, line].slice(-LAST_LINES);
      }
    }
  }

  /** It has failed: nobody is to look elsewhere for why. */
  tellLast(server: ServerName): void {
    const between = this.#untold - this.#last.length;
    if (between > 0) note(this.#turn, `  … ${between} lines are left out here …`, server);
    for (const line of this.#last) this.#tell(line, server);
  }

  #tell(line: string, server: ServerName): void {
    note(this.#turn, `  ${line.slice(0, MOST_CHARACTERS)}`, server);
  }
}
