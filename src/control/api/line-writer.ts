/** A line waits this long at most for others: to send each on its own costs both ends more than the line itself. */
const GATHER_MS = 20;
/** So much is not gathered: whoever makes the lines waits until the reader has taken it. */
const MOST_GATHERED = 16 * 1024;

/** Writes lines as they come; those of one moment go out together. `write` is not to reject: nobody may be waiting. */
export class LineWriter {
  readonly #write: (text: string) => Promise<unknown>;
  #gathered = "";
  #timer: NodeJS.Timeout | undefined;
  #written: Promise<unknown> = Promise.resolve();

  constructor(write: (text: string) => Promise<unknown>) {
    this.#write = write;
  }

  async add(line: string): Promise<void> {
    this.#gathered += `${line}\n`;
    if (this.#gathered.length > MOST_GATHERED) await this.flush();
    else this.#timer ??= setTimeout(() => void this.flush(), GATHER_MS);
  }

  /** Resolves when all lines have been taken. One write at a time: what comes meanwhile is gathered. */
  async flush(): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    await this.#written;
    const text = this.#gathered;
    this.#gathered = "";
    if (text !== "") this.#written = this.#write(text);
    await this.#written;
  }
}
