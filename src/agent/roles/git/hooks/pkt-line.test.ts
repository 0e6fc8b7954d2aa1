import fc from "fast-check";
import { expect, test } from "vitest";
import { FLUSH, PacketReader, packet, readPacket } from "./pkt-line.ts";

const text = fc.string({ unit: "grapheme", maxLength: 200 }).map((one) => one.replaceAll("\n", ""));

async function* pieces(bytes: Buffer, size: number): AsyncGenerator<Buffer> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

test("what is written as packets is read again, however the stream is cut", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.array(text, { maxLength: 5 }), { minLength: 1, maxLength: 4 }),
      fc.integer({ min: 1, max: 50 }),
      async (lists, size) => {
        const bytes = Buffer.from(lists.map((list) => list.map((one) => packet(`${one}\n`)).join("") + FLUSH).join(""));
        const reader = new PacketReader(pieces(bytes, size));
        for (const list of lists) expect(await reader.readList()).toEqual(list);
      },
    ),
  );
});

test("hostile bytes give a packet, a wish for more, or an error, and never hang", () => {
  fc.assert(
    fc.property(
      fc.oneof(
        fc.uint8Array({ maxLength: 30 }),
        fc.string({ maxLength: 30 }).map((one) => Buffer.from(one)),
      ),
      (bytes) => {
        try {
          const next = readPacket(Buffer.from(bytes));
          if (next !== undefined) expect(next.rest.length).toBeLessThan(bytes.length);
        } catch (thrown) {
          expect(String(thrown)).toContain("not a packet");
        }
      },
    ),
  );
});

test("a stream that ends within a list is an error", async () => {
  await expect(new PacketReader(pieces(Buffer.from(packet("a\n")), 3)).readList()).rejects.toThrow("ended");
});

test("a text that is too long for a packet is an error", () => {
  expect(() => packet("x".repeat(65_517))).toThrow("too long");
  expect(packet("x".repeat(65_516))).toMatch(/^fff0x/);
});
