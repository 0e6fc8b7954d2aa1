import type { Readable } from "node:stream";
import { Fault } from "#base/fault.ts";
import { type GitProcess, git, startGit } from "./git.ts";

/** The content of a blob as it arrives. */
export interface Blob {
  readonly bytes: number;
  /** Must be read to its end before the next blob is. */
  readonly chunks: AsyncIterable<Buffer>;
}

/** Reads objects of a repository, in the order they are asked for, through one `git cat-file --batch-command`. */
export class ObjectReader {
  readonly #process: GitProcess;
  readonly #input: ByteQueue;

  constructor(repository: string, signal: AbortSignal) {
    this.#process = startGit(git.readObjects(repository), signal);
    this.#process.stdin.on("error", () => undefined);
    this.#input = new ByteQueue(this.#process.stdout);
  }

  /** Asks ahead; the blobs then come from `next`, in this order. */
  ask(ids: readonly string[]): void {
    this.#command("contents", ids);
  }

  /** How large these blobs are, in the order asked; nothing else may have been asked for and not been read. */
  async sizes(ids: readonly string[]): Promise<number[]> {
    this.#command("info", ids);
    const sizes: number[] = [];
    for (const _id of ids) sizes.push(await this.#header("blob"));
    return sizes;
  }

  async next(): Promise<Blob> {
    const bytes = await this.#header("blob");
    return { bytes, chunks: this.#content(bytes) };
  }

  /** A folder as Git stores it; also by "<commit>^{tree}". */
  async readTree(id: string): Promise<Buffer> {
    this.ask([id]);
    const bytes = await this.#header("tree");
    return collect({ bytes, chunks: this.#content(bytes) });
  }

  /** The whole content of one small blob. */
  async read(id: string): Promise<Buffer> {
    this.ask([id]);
    return collect(await this.next());
  }

  /** Ends the command; may be called twice. */
  async close(): Promise<void> {
    this.#process.stdin.end();
    this.#process.stdout.destroy();
    await this.#process.ended.catch(() => undefined);
  }

  #command(name: "contents" | "info", ids: readonly string[]): void {
    if (ids.length > 0) this.#process.stdin.write(ids.map((id) => `${name} ${id}\n`).join(""));
  }

  /** "<object> <type> <size>" */
  async #header(wanted: "blob" | "tree"): Promise<number> {
    const header = (await this.#input.line()).toString("utf8");
    const [, type, bytes] = /^[0-9a-f]{40} (\w+) (\d+)$/.exec(header) ?? [];
    if (type !== wanted) throw new Fault("git.no-object", `the repository lacks a ${wanted} of the commit (${header})`);
    return Number(bytes);
  }

  async *#content(bytes: number): AsyncGenerator<Buffer> {
    yield* this.#input.take(bytes);
    for await (const _newline of this.#input.take(1));
  }
}

/** All chunks of a blob as one. */
export async function collect(blob: Blob): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of blob.chunks) chunks.push(chunk);
  return chunks.length === 1 && chunks[0] !== undefined ? chunks[0] : Buffer.concat(chunks);
}

/** A stream read by lines and by counts of bytes. */
class ByteQueue {
  readonly #chunks: AsyncIterator<Buffer>;
  #rest: Buffer = Buffer.alloc(0);

  constructor(stream: Readable) {
    this.#chunks = stream[Symbol.asyncIterator]();
  }

  async line(): Promise<Buffer> {
    for (;;) {
      const end = this.#rest.indexOf(10);
      if (end !== -1) {
        const line = this.#rest.subarray(0, end);
        this.#rest = this.#rest.subarray(end + 1);
        return line;
      }
      this.#rest = Buffer.concat([this.#rest, await this.#more()]);
    }
  }

  async *take(bytes: number): AsyncGenerator<Buffer> {
    for (let missing = bytes; missing > 0; ) {
      if (this.#rest.length === 0) this.#rest = await this.#more();
      const chunk = this.#rest.subarray(0, missing);
      this.#rest = this.#rest.subarray(chunk.length);
      missing -= chunk.length;
      yield chunk;
    }
  }

  async #more(): Promise<Buffer> {
    const { done, value } = await this.#chunks.next();
    if (done === true) throw new Fault("git.failed", "git cat-file ended too early");
    return value;
  }
}
