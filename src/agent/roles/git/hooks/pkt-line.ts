/** The first complete packet of the bytes, null for a flush packet; undefined while it is not all there. */
export function readPacket(bytes: Buffer): { readonly packet: Buffer | null; readonly rest: Buffer } | undefined {
  if (bytes.length < 4) return undefined;
  const head = bytes.toString("latin1", 0, 4);
  const length = /^[0-9a-fA-F]{4}$/.test(head) ? Number.parseInt(head, 16) : Number.NaN;
  if (length === 0) return { packet: null, rest: bytes.subarray(4) };
  if (Number.isNaN(length) || length < 4) throw new Error(`not a packet: ${JSON.stringify(head)}`);
  if (bytes.length < length) return undefined;
  return { packet: bytes.subarray(4, length), rest: bytes.subarray(length) };
}

/** A text as a packet. */
export function packet(text: string): string {
  const size = Buffer.byteLength(text) + 4;
  if (size > 65_520) throw new Error(`too long for a packet: ${size} bytes`);
  return size.toString(16).padStart(4, "0") + text;
}

/** The packet that ends a list. */
export const FLUSH = "0000";

/** Packets as they come from a stream: each `readList` takes all up to the next flush packet. */
export class PacketReader {
  readonly #source: AsyncIterator<Buffer>;
  #bytes: Buffer = Buffer.alloc(0);

  constructor(source: AsyncIterable<Buffer>) {
    this.#source = source[Symbol.asyncIterator]();
  }

  /** The texts up to the next flush packet, without their line ends; throws when the stream ends before. */
  async readList(): Promise<string[]> {
    const texts: string[] = [];
    for (;;) {
      const next = readPacket(this.#bytes);
      if (next === undefined) await this.#more();
      else {
        this.#bytes = next.rest;
        if (next.packet === null) return texts;
        texts.push(next.packet.toString("utf8").replace(/\n$/, ""));
      }
    }
  }

  async #more(): Promise<void> {
    const { value, done } = await this.#source.next();
    if (done === true) throw new Error("the stream ended within a list of packets");
    this.#bytes = Buffer.concat([this.#bytes, value]);
  }
}
